"""Floor 1: what happened in a run: typed events, the append-only store, the ledger of faults."""
