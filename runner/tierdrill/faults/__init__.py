"""Ground floor: the fault kinds, one file each in `kinds/`, and the registry that reads them."""
