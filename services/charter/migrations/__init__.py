"""How the charter schema grew."""
