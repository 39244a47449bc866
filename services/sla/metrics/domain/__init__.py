"""What a metric is, its windows, and one module per aggregation."""
