"""Where the command line works: the home with its state, the tools it fetched, the catalogue it reads."""

import os
from dataclasses import dataclass
from pathlib import Path

import tierdrill
from tierdrill.home import checkout, resolved, state_home
from tierdrill.text import valid

FOLDERS = ("drills", "experiments", "playbooks")


@dataclass(frozen=True)
class Surroundings:
    """What the global options and the environment decide, for every command."""

    home: Path
    tools: Path
    catalogue: Path
    color: bool
    verbose: bool


def find_home(named: Path | None) -> Path:
    """--home, TIERDRILL_HOME, `.tierdrill` in a checkout that is ours to write in, or the user's state directory."""
    if named is not None:
        return resolved(named)
    return state_home()


def find_tools(home: Path) -> Path:
    """TIERDRILL_TOOLS, `.tools` in a checkout that has it or can have it, or a folder in the home."""
    if named := os.environ.get("TIERDRILL_TOOLS"):
        return resolved(Path(named))
    root = checkout()
    if root is not None and ((root / ".tools").is_dir() or os.access(root, os.W_OK)):
        return root / ".tools"
    return home / "tools"


def shipped_catalogue() -> Path:
    """The documents that come with tierdrill: the checkout's, or those packed into the package."""
    return checkout() or Path(tierdrill.__file__).parent / "catalogue"


def find_catalogue(named: Path | None) -> Path:
    """--catalogue, the working directory if it has a folder drills, or the shipped catalogue."""
    if named is not None:
        return resolved(named)
    try:
        here = Path.cwd()
    except FileNotFoundError:
        return shipped_catalogue()
    return here if (here / "drills").is_dir() else shipped_catalogue()


def author() -> str:
    """Who acts, for the records: TIERDRILL_AUTHOR (whoever started this on the dashboard, or leads the game day), git's
    identity, else the user's name.
    """
    import subprocess

    from tierdrill.process.programs import AUTHOR

    if named := valid(os.environ.get(AUTHOR, "").strip()):
        return named
    try:
        answer = subprocess.run(
            ["git", "config", "--get", "user.email"],  # noqa: S607
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=2.0,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        if answer.returncode == 0 and (email := answer.stdout.strip()):
            return email
    except (OSError, subprocess.TimeoutExpired):
        pass
    return valid(os.environ.get("USER") or os.environ.get("LOGNAME") or f"uid {os.getuid()}")
