"""A Kubernetes cluster as the place of drills. The official client is imported here and nowhere else."""
