"""Alembic's entry point for the schema `sla`."""

from services.sla.models import Base
from shared.data.migrations import run_env

run_env("sla", Base.metadata)
