"""Endpoints: where an organization wants its alerts delivered, and how that has been going."""
