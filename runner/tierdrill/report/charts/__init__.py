"""Axes, lanes and series that the reports draw."""
