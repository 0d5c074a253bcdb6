"""The report of one run, for people and for machines."""
