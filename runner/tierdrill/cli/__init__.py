"""Floor 7: the command line, a thin face over the rooms below."""
