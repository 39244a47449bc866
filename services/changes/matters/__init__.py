"""What a body decides: routing, votes, clocks, decisions and escalations."""
