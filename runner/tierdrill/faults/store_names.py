"""What the stores of a lab are called: a state store of three members, and the model stores that weights come from."""

STATE_STORE = "state-store"
STATE_MEMBERS = tuple(f"{STATE_STORE}-{number}" for number in (1, 2, 3))
MODEL_STORES = ("store-a", "store-b")
"""The one that nodes ask first, and its mirror."""
