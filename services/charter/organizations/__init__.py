"""The agencies and providers that govern together."""
