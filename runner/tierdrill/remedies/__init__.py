"""Ground floor: the remedies, one file each in `kinds/`, the facts that playbooks ask for, and what reads them."""
