"""Alembic's entry point for the schema `changes`."""

from services.registry import metadata_of
from shared.data.migrations import run_env

run_env("changes", metadata_of("changes"))
