"""Floor 6: what people and machines see of a run."""
