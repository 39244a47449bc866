"""Rules of change control as plain functions: no I/O, no clock, standard library only."""
