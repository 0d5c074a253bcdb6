"""A platform that somebody else runs and monitors: tierdrill sends it load, and looks."""
