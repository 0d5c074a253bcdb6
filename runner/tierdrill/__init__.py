"""tierdrill: resilience drills for tiered model-serving platforms."""

__version__ = "0.1.0"
