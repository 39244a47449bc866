"""Faults on purpose: a TCP proxy, real processes to kill, a recorded history and its checker."""
