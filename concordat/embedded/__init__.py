"""The whole platform in one process: server, PostgreSQL from a wheel, development issuer, stand-ins."""
