"""Events in and out: outbox, relay, bus, consumers, inbox, dead letters, archives and replay."""
