"""Settings of the charter service: `CHARTER_*`, else `CONCORDAT_*`."""

from shared.runtime.settings import KernelSettings, settings_config


class Settings(KernelSettings):
    """Nothing beyond what every service needs."""

    model_config = settings_config("CHARTER")
