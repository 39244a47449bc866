"""Rules of the charter: what a valid text is, who signs it, which states it passes through."""
