"""Database migrations of the notifier."""
