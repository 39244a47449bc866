"""Alembic migrations of the changes schema."""
