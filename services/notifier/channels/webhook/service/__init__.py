"""The address, the body and the sending of a webhook."""
