"""Processes and what they share: who one is, how one is started and ended, locks, files that are replaced whole."""
