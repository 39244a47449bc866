"""The demonstration of the embedded mode, played through the public API."""
