"""Alembic's entry point for the schema `notifier`."""

from services.registry import metadata_of
from shared.data.migrations import run_env

run_env("notifier", metadata_of("notifier"))
