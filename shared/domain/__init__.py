"""Rules that more than one service follows. Standard library only."""
