"""One file for each remedy, named after it, with its record as KIND."""
