"""The use cases of the sla service: load, decide, record, emit."""
