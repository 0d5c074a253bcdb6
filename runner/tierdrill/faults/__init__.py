"""Floor 2: the catalogue of fault kinds: parameters, real-world cause, what each must make visible."""
