"""Whether there is what a drill runs in, before anything begins: what is missing is bad input, not a run."""

from __future__ import annotations

import re
from pathlib import Path

from tierdrill.cli.errors import Refusal
from tierdrill.cli.folders import Surroundings

_RUN_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,98}[a-z0-9])?\Z")


def check_run_name(home: Path, name: str) -> None:
    """Refuse a run's name that is none, or that another run has."""
    if not _RUN_NAME.match(name):
        raise Refusal(f"found --name {name!r}; allowed are lower-case letters, digits and hyphens, at most 100")
    if (home / "runs" / name).exists():
        raise Refusal(f"found --name {name}, which another run has; allowed is a new name")


def check_place(here: Surroundings, lab: str | None) -> None:
    """Refuse a kept lab that is not up, and a machine without the programs that a lab of one's own needs."""
    if lab is not None:
        from tierdrill.lab.lab_files import NoSuchLab, attach

        try:
            attach(here.home, lab)
        except NoSuchLab as error:
            raise Refusal(f"{error}; `tierdrill lab up --name {lab}` starts one") from error
        return
    from tierdrill.monitoring.binaries import MonitoringUnavailable, require

    try:
        require(here.tools)
    except MonitoringUnavailable as error:
        raise Refusal(f"{error}; or let `tierdrill doctor --fetch` fetch them") from error
