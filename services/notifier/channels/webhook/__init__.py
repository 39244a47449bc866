"""Webhooks: bodies, signatures and the one guarded way out."""
