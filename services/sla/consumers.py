"""What the sla service learns from others: who exists and which charter is in force."""

from shared.directory import HANDLERS

__all__ = ["HANDLERS"]
