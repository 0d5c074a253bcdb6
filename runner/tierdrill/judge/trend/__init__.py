"""Several runs together: figures, proof status, regressions and scores."""
