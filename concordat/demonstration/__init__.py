"""The demonstration of the embedded mode, told through the public API."""
