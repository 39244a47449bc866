"""Rules: which event opens or resolves which alert, for whom, how pressing."""
