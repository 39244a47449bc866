"""Use cases of charters: drafting them together, ratifying them."""
