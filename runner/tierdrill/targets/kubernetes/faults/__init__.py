"""How a Kubernetes cluster does each kind of fault: one file each, named after the kind, with its record as FAULT."""
