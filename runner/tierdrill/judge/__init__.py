"""Floor 2: pure functions from documents and history to a verdict."""
