"""The charter service: who governs, by which ratified text, and when that text is reviewed."""
