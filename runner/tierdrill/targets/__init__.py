"""Floor 3: one protocol over every place a drill can run in."""
