"""The tamper-evident trail: rows, chain, keys, sealer, routes, verdicts."""
