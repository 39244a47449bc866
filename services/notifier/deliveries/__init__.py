"""Deliveries: one message for one endpoint, from the alert to the answer."""
