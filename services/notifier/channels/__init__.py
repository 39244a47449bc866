"""Channels: the ways a delivery leaves the house, behind one `send(delivery) -> Answer`."""
