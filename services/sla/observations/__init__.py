"""Observations: what the provider's systems saw."""
