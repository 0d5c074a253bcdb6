"""Floor 3: the embedded tiered deployment of real processes."""
