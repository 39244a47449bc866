"""Alembic's entry into the notifier's schema."""

from services.notifier.models import Base
from shared.data.migrations import run_env

run_env("notifier", Base.metadata)
