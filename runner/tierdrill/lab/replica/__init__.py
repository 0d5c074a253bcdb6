"""The model servers."""
