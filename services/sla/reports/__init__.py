"""Performance reports: scheduled, drafted, published, acknowledged."""
