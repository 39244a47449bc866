"""The bus without a broker: an ordered log in PostgreSQL."""
