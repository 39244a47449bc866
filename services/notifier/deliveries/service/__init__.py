"""Deliveries: written, claimed, sent, and what came of them."""
