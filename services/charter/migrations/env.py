"""Alembic's entry point for the schema `charter`."""

from services.charter.models import Base
from shared.data.migrations import run_env

run_env("charter", Base.metadata)
