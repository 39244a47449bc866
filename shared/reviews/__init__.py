"""The yearly-review engine of charters, agreements and SLAs (M3 5.3 R3, R5)."""
