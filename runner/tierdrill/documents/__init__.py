"""Floor 1: the documents people write, as typed models, and how they are read."""
