"""The routes of the sla service."""
