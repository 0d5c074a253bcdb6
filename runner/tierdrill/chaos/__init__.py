"""Floor 4: the Chaos Toolkit extension: actions and probes of tierdrill's faults."""
