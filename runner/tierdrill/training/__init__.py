"""Floor 6: people being drilled: exercises, the trainee's tools, and the score."""
