"""The checks of a run's verdict, one subject a file."""
