"""Alembic's entry point for the schema `sla`."""

from services.registry import metadata_of
from shared.data.migrations import run_env

run_env("sla", metadata_of("sla"))
