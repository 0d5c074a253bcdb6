"""The lab's control plane: what runs where, and what remedies change of it."""
