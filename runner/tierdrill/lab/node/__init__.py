"""The agent of one emulated node: its replicas, its GPUs and its kernel log."""
