"""How the exporter of `tierdrill kubernetes demo` does each kind of fault of its emulated GPUs, one file a kind."""
