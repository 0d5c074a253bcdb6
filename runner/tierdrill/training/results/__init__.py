"""What is kept of exercises: results, debriefs, progress."""
