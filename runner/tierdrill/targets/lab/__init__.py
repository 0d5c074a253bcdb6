"""The embedded lab as a target."""
