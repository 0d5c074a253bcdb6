"""Where tierdrill keeps its state: one private folder, from TIERDRILL_HOME or the user's state directory."""

from __future__ import annotations

import os
from pathlib import Path


def state_home() -> Path:
    """TIERDRILL_HOME, or `tierdrill` under XDG_STATE_HOME (default ~/.local/state)."""
    if named := os.environ.get("TIERDRILL_HOME"):
        return Path(named).expanduser().resolve()
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "tierdrill"


def run_folder(home: Path, run: str) -> Path:
    """The folder of one run's files (logs, samples, reports)."""
    return home / "runs" / run
