"""Floor 6: when drills run by themselves, what holds them back, and who is told."""
