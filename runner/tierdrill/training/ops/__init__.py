"""What a trainee can do: look, say, act."""
