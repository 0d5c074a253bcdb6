"""Floor 2: the load generator: arrival schedule, locust file, sample recorder."""
