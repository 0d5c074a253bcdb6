"""The trend over many runs, on the terminal, as a page and as data."""
