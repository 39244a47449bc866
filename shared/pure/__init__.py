"""What two services compute alike: refusals, state tables, canonical text, hashes, signatures. No I/O, no clock."""
