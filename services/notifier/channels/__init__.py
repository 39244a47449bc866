"""Channels: the ways a delivery leaves the house."""
