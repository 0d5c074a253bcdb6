"""Floor 2: the load generator: arrival schedule, locust file, sample recorder.

Nothing is imported here on purpose: `locustfile.py` and what it imports run in locust's monkey-patched child, the rest
in the runner, and neither may pull in the other's libraries.
"""
