"""The use cases of what a body decides."""
