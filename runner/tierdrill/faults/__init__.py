"""Ground floor: the fault kinds, one file each in `kinds/`, and `known_kinds.py` that reads them."""
