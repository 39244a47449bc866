"""What the charter service reads and answers."""
