"""SLAs with their metrics and the timeline of their reports."""
