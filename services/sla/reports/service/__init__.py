"""What is done to reports, by people and by the timer."""
