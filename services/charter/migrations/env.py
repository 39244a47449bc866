"""Alembic's entry point for the schema `charter`."""

from services.registry import metadata_of
from shared.data.migrations import run_env

run_env("charter", metadata_of("charter"))
