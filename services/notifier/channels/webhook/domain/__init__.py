"""What a webhook may be sent to, how it is signed and what it says, free of I/O."""
