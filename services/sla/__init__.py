"""Agreements, SLAs and their performance: owned by the provider's measurements and the customer's reviews."""
