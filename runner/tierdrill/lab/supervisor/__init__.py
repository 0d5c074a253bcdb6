"""The program that owns one lab: its processes, its control API, its leases."""
