"""The change-request log: routing, ballots, decisions and escalations (M3 Playbook 5.3, best practice BP1)."""
