"""What a game day leaves: its record, outcomes and comparisons."""
