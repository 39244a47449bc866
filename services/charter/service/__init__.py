"""Use cases of the charter service."""
