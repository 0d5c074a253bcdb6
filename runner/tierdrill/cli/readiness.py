"""Whether there is what a drill runs in, before anything begins: what is missing is bad input, not a run."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from tierdrill.cli.errors import Refusal
from tierdrill.cli.folders import Surroundings

if TYPE_CHECKING:
    from tierdrill.documents.catalogue import DrillSetting
    from tierdrill.training.exercise_setting import ExerciseSetting

_RUN_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,98}[a-z0-9])?\Z")


def check_run_name(home: Path, name: str) -> None:
    """Refuse a run's name that is none, or that another run has."""
    if not _RUN_NAME.match(name):
        raise Refusal(f"--name: got {name!r}, expected at most 100 lower-case letters, digits and hyphens")
    if (home / "runs" / name).exists():
        raise Refusal(f"--name: run {name} already exists")


def check_place(here: Surroundings, settings: Iterable[DrillSetting | ExerciseSetting], lab: str | None = None) -> None:
    """TargetError where something is missing that runs in their environments (in the kept lab, if named) need."""
    from tierdrill.targets.open import target_of

    for environment in {one.environment.metadata.name: one.environment for one in settings}.values():
        target_of(environment).check(here.home, here.tools, lab)
