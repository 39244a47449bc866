"""The kernel's tables, present in every service's schema."""
