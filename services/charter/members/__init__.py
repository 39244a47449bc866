"""People of an organization and what they do for it."""
