"""The rules of alerting and delivering, free of I/O."""
