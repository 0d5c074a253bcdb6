"""The score of an exercise. Pure: from its history."""
