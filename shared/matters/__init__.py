"""Subjects that a body of another service decides: put by event, and the decision applied once."""
