"""The views of a run while it goes on."""
