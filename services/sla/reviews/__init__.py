"""The customer's yearly review of agreements and SLAs."""
