"""What agents on nodes do to a cluster, one kind a file."""
