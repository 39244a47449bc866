"""Settings of the changes service: the kernel's, read from `CHANGES_*` first."""

from shared.runtime.settings import KernelSettings, settings_config


class Settings(KernelSettings):
    model_config = settings_config("CHANGES")
