"""A Kubernetes cluster on one machine, without Docker: what `tests/cluster/cluster` does. Standard library only."""
