"""Tests of the charter's rules."""
