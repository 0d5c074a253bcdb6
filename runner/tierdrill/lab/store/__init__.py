"""The model stores, where weights come from."""
