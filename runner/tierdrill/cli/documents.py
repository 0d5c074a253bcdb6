"""Reading the catalogue for a command: with every problem at once, and a drill with all it refers to."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tierdrill.cli.errors import Refusal

if TYPE_CHECKING:
    from tierdrill.spec.catalogue import Catalogue, DrillSetting
    from tierdrill.spec.problems import Problem


def read(root: Path) -> tuple[Catalogue, list[Problem]]:
    """The catalogue at `root` and its problems, their paths as seen from the working directory."""
    from tierdrill.monitoring.alerts import KNOWN_ALERTS
    from tierdrill.spec.load import load_catalogue

    catalogue, problems = load_catalogue(root, KNOWN_ALERTS)
    return catalogue, [seen_from_here(problem, root) for problem in problems]


def seen_from_here(problem: Problem, root: Path) -> Problem:
    """The problem with a path that an editor opens from the working directory."""
    path = str(root / problem.path)
    try:
        near = os.path.relpath(path)
    except (OSError, ValueError):
        near = path
    return replace(problem, path=path if near.startswith("..") else near)


def whole_catalogue(root: Path) -> Catalogue:
    """The catalogue; SpecError with every problem if it has any."""
    from tierdrill.spec.problems import SpecError

    catalogue, problems = read(root)
    if problems:
        raise SpecError(problems)
    return catalogue


def drill_setting(root: Path, name: str) -> DrillSetting:
    """A drill with all it refers to; SpecError if the catalogue has problems, Refusal if there is no such drill."""
    from tierdrill.spec.catalogue import setting_of
    from tierdrill.spec.problems import listed, nearest

    catalogue = whole_catalogue(root)
    if name not in catalogue.drills:
        near = nearest(name, catalogue.drills)
        hint = f" (did you mean {near}?)" if near else ""
        raise Refusal(f"no drill named {name!r} in {root}; allowed: {listed(sorted(catalogue.drills))}{hint}")
    return setting_of(catalogue, name)
