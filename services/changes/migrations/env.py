"""Alembic's entry point for the changes schema."""

from services.changes.models import Base
from shared.data.migrations import run_env

run_env("changes", Base.metadata)
