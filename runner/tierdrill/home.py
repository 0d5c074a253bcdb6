"""Where tierdrill keeps its state: one private folder, from TIERDRILL_HOME or the user's state directory."""

import errno
import os
from pathlib import Path


def checkout() -> Path | None:
    """The source checkout this package runs from, if it does."""
    root = Path(__file__).resolve().parents[2]
    return root if (root / "pyproject.toml").is_file() and (root / "drills").is_dir() else None


def agent_folder() -> Path:
    """The stand-alone program that injects faults on a host."""
    root = checkout()
    return root / "agent" if root is not None else Path(__file__).resolve().parent / "agent"


def resolved(path: Path) -> Path:
    """The path without `~` and symbolic links; OSError for a loop of those, and for a `~` that is nobody's."""
    try:
        return path.expanduser().resolve()
    except RuntimeError as error:
        raise OSError(errno.ELOOP, str(error).partition(" from ")[0], str(path)) from error


def state_home() -> Path:
    """TIERDRILL_HOME, `.tierdrill` in a checkout that is ours to write in, or the user's state directory.

    The same for the command and for a bare `chaos run` beside it, which must find the lab that the command keeps.
    """
    if named := os.environ.get("TIERDRILL_HOME"):
        return resolved(Path(named))
    root = checkout()
    if root is not None and os.access(root, os.W_OK):
        return root / ".tierdrill"
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "tierdrill"


def run_folder(home: Path, run: str) -> Path:
    """The folder of one run's files (logs, samples, reports)."""
    return home / "runs" / run
