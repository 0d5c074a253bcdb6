"""What is applied to a cluster, as plain objects: no templates."""
