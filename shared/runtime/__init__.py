"""A running process: settings, kernel, timers, clock, log, telemetry, fail points."""
