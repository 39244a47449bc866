"""The rules of a charter's text and of its ratification."""
