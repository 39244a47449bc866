"""A running process: settings, kernel, timers, what is due, clock, log, telemetry, fail points."""
