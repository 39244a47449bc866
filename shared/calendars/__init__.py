"""Business time, business days and fiscal periods. Standard library only; imports nothing of ours but `pure` and `contracts`."""
