"""Endpoints as their owners keep them, their health and their secrets."""
