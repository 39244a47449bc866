"""Events in and out: outbox, relay, bus, consumers."""
