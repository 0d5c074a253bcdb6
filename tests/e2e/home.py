"""A home of its own for end-to-end tests: the real command, real processes, and a look at what is left of them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import yaml

from tierdrill.documents.reading.drill_templates import merged

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "tierdrill.cli.main"]
EXPECT = {"playbooks": {"others": "allowed"}, "tiers": [{"tier": "critical", "objectives": ["integrity"]}]}
SHORT = {"warm_up": "4s", "baseline": "2s", "fault": "5s", "recovery": "3s"}


def short_catalogue(folder: Path, drill: str = "node-loss") -> Path:
    """The shipped catalogue with one drill cut short: too short to prove anything, long enough to be killed in."""
    for part in ("drills", "experiments", "playbooks"):
        shutil.copytree(ROOT / part, folder / part)
    for users in ("calendars", "gamedays", "scenarios"):
        # They count on the drill as it is shipped.
        shutil.rmtree(folder / "drills" / users, ignore_errors=True)
    path = folder / "drills" / f"{drill}.yaml"
    template = yaml.safe_load((folder / "drills" / "platform" / "templates.yaml").read_text())
    document = merged(template, yaml.safe_load(path.read_text())) | {"phases": SHORT, "expect": EXPECT}
    document["sabotages"], document["proves"] = [], []
    del document["blip"], document["template"]
    path.write_text(yaml.safe_dump(document))
    platform = folder / "drills" / "platform" / "lab.yaml"
    lab = yaml.safe_load(platform.read_text())
    lab["clock"]["window_scale"] = 900
    platform.write_text(yaml.safe_dump(lab))
    return folder


def environment(home: Path) -> dict[str, str]:
    """The environment of a command with this home; every process it starts carries it."""
    return {**os.environ, "TIERDRILL_HOME": str(home), "NO_COLOR": "1"}


def tierdrill(
    home: Path, *arguments: str, cwd: Path = ROOT, timeout: float = 180.0
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=cwd,
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def start(home: Path, *arguments: str, cwd: Path = ROOT) -> subprocess.Popen[bytes]:
    """Start the command in a session of its own, its output in the home."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "output.txt").open("ab") as output:
        return subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=cwd,
            env=environment(home),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def processes(home: Path) -> list[psutil.Process]:
    """Every living process that carries this home."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get("TIERDRILL_HOME") == str(home):
                found.append(process)
        except psutil.Error:
            continue
    return found


def await_none(home: Path, within_s: float) -> list[str]:
    """Wait until none is left; the command lines of those that are."""
    deadline = time.monotonic() + within_s
    while (left := processes(home)) and time.monotonic() < deadline:
        psutil.wait_procs(left, timeout=0.1)
    shown = []
    for process in left:
        try:
            shown.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return shown
