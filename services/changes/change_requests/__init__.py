"""The log of change requests: submission, impact, withdrawal, resumption."""
