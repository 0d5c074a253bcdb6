"""A good catalogue to break: every test of the checks changes one document of it and looks at what is reported."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping
from pathlib import Path

from tierdrill.documents.catalogue_reader import load_catalogue
from tierdrill.documents.problems import Problem

HERE = Path(__file__).parent
GOOD = HERE / "good"
BAD = HERE / "bad"

DRILL = "drills/node-loss.yaml"
CALENDAR = "drills/calendar.yaml"
TIERS = "drills/tiers.yaml"
WORKLOADS = "drills/workloads.yaml"
ENVIRONMENT = "drills/environment.yaml"
EXPERIMENT = "experiments/node/power-loss.yaml"
SCENARIO = "drills/scenarios/quiet-corner.yaml"
PLAYBOOK = "playbooks/reschedule-critical.yaml"
GAMEDAY = "drills/gamedays/two-drills.yaml"


def good_catalogue(folder: Path) -> Path:
    """A copy of the good catalogue that a test may change."""
    shutil.copytree(GOOD, folder, dirs_exist_ok=True)
    return folder


def changed(root: Path, path: str, *edits: tuple[str, str]) -> None:
    """Replace text in one document; an edit that finds nothing is a mistake in the test."""
    text = (root / path).read_text(encoding="utf-8")
    for old, new in edits:
        assert old in text, f"{path} has no {old!r}"
        text = text.replace(old, new, 1)
    (root / path).write_text(text, encoding="utf-8")


def problems(root: Path, known_alerts: Mapping[str, Collection[str]] | None = None) -> list[Problem]:
    """Everything wrong with the catalogue."""
    return load_catalogue(root, known_alerts)[1]


def lines(root: Path, known_alerts: Mapping[str, Collection[str]] | None = None) -> list[str]:
    """The same as text."""
    return [str(problem) for problem in problems(root, known_alerts)]


def located(problem: Problem, root: Path) -> bool:
    """Whether the place exists: a file, a line of it (or the one after its end), and a column of that line."""
    path = root / problem.path
    if not path.is_file():
        return False
    rows = path.read_bytes().split(b"\n")
    if not 1 <= problem.line <= len(rows) + 1:
        return False
    row = rows[problem.line - 1] if problem.line <= len(rows) else b""
    return 1 <= problem.column <= len(row.decode("utf-8", "replace")) + 2
