"""Metrics: how they are defined, and how each aggregation measures."""
