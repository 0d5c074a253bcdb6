"""The lab's network: every connection between two hosts goes through it, and link faults happen in it."""
