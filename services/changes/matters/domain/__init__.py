"""Rules of deciding as plain functions: no I/O, no clock, standard library only."""
