"""What two services compute alike: refusals, state tables, canonical text. Standard library only."""
