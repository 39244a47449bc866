"""The HTTP routes of the change log, one file per resource."""
