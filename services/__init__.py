"""The four services and the programs that run them."""
