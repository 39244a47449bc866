"""Alerts: what needs a person of one organization."""
