"""Staged rollouts: where an entry stands, and what moves it."""
