"""Business time, business days, holidays, fiscal periods, recurrence rules, time zones. Pure: no clock, no I/O."""
