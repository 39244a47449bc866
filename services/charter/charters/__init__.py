"""The governance charter: draft, ratification, the text in force, its end."""
