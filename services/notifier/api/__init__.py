"""Routes of the notifier, one module per aggregate."""
