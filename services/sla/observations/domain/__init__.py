"""An observation, and how one is read from a row."""
