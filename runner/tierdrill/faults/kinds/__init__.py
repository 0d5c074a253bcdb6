"""One file for each kind of fault, named after it, with its record as KIND."""
