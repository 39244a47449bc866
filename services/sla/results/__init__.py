"""Results: what metrics come to, live or as published."""
