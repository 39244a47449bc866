"""The schema of the sla service, version by version."""
