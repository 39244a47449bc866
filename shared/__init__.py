"""The kernel: what every service needs and none owns."""
