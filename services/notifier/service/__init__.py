"""Use cases of the notifier, one module per aggregate."""
