"""Routes of the charter service, one module per aggregate."""
