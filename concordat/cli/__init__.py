"""What each `concordat` command does."""
