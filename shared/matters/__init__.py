"""Having a subject decided by a body, for services other than the one that keeps the matters: put, hear, apply once."""
