"""The one life of a fault, whoever injects it; nobody else calls a target's fault port."""
