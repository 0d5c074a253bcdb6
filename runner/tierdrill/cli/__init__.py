"""Floor 7: the command line: a thin face over the same calls that everything else makes."""
