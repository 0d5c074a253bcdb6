"""Floor 4: what becomes of runs: their books closed, and what dead ones left undone, by the reaper or by recover."""
