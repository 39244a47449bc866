"""Agreements: the instruments SLAs hang on."""
