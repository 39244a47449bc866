"""What the sla service takes in and gives out."""
