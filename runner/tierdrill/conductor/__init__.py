"""Floor 5: one run of a drill, from preflight to clean-up."""
