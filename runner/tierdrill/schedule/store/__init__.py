"""The schedule's durable store."""
