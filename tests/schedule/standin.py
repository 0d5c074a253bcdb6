"""Plays `tierdrill run` and `tierdrill recover` for tests of the scheduler, in tenths of a second instead of a minute.

    python standin.py SCRIPT run DRILL --json --name RUN --origin KEY ...
    python standin.py SCRIPT recover

SCRIPT is a JSON file: home, seconds, and `status` of the runs, one for all or a list taken in turn; with `verdicts`
each leaves the verdict.json of a run whose fault was seen to land and to be gone. It does to the home
what a run does: a line in the history, a runner in the ledger, an ear for `tierdrill stop`. Each start and end is a
line in `standin.log` beside the script: whatever ran twice is there twice.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from contextlib import closing
from pathlib import Path

from tierdrill.history.events import Event
from tierdrill.history.history_store import HistoryStore
from tierdrill.history.ledger import Ledger
from tierdrill.judge.verdict import Check, Status, Verdict
from tierdrill.recovery.cleanup import own_process

CODES = {"passed": 0, "failed": 1, "inconclusive": 3, "aborted": 4, "unclean": 5}


def say(script: Path, *words: str) -> None:
    """One line, whole or not at all."""
    line = " ".join(words).encode() + b"\n"
    descriptor = os.open(script.with_name("standin.log"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)


def status_of(script: Path, settings: dict[str, object]) -> str:
    """The status that this run comes to."""
    status = settings.get("status", "passed")
    if isinstance(status, list):
        log = script.with_name("standin.log")
        starts = [line for line in log.read_text().splitlines() if line.startswith("start ")]
        return str(status[min(len(starts), len(status)) - 1])
    return str(status)


def run(script: Path, settings: dict[str, object], words: list[str]) -> int:
    """One run, as the scheduler starts it."""
    home = Path(str(settings["home"]))
    drill = words[0]
    name, origin = words[words.index("--name") + 1], words[words.index("--origin") + 1]
    say(script, "start", name, origin, str(os.getpid()), *words[words.index("--origin") + 2 :])
    if settings.get("refuse"):
        print(str(settings["refuse"]), file=sys.stderr)
        return 2
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.append(number))
    with closing(HistoryStore(home)) as store, closing(Ledger(home)) as ledger:
        store.begin(name, drill, "drill", time.time())
        calendar, entry, slot = origin.split("/", 2)
        asked = {"calendar": calendar, "entry": entry, "slot": slot}
        store.append(name, Event(time.time(), "run.started", "runner", {"run": name, "origin": asked}))
        process = own_process(name, "runner", os.getpid())
        assert process is not None
        ledger.own(process)
        ends = time.monotonic() + float(str(settings.get("seconds", 0.2)))
        while time.monotonic() < ends and not stopped and ledger.stop_asked(name) is None:
            time.sleep(0.02)
        early = time.monotonic() < ends
        status = "aborted" if early else status_of(script, settings)
        if settings.get("verdicts"):
            leave_verdict(home / "runs" / name, name, drill, status)
        asked_to = ledger.stop_asked(name)
        why = f"stopped: {asked_to.reason if asked_to else 'by a signal'}" if early else "as the script says"
        store.finish(name, time.time(), status, why)
        ledger.disown(name)
    say(script, "end", name, origin, status)
    return CODES[status]


def leave_verdict(folder: Path, run: str, drill: str, status: str) -> None:
    """A verdict that a rollout believes, if it passed."""
    checks = tuple(
        Check(name, name.split("/")[0], Status.PASSED, name, "so", "so")
        for name in ("run/clean", "load/healthy", "fault/f/landed", "fault/f/gone")
    )
    folder.mkdir(parents=True)
    verdict = Verdict(run, drill, "drill", Status(status), "as the script says", (), checks)
    (folder / "verdict.json").write_text(verdict.to_json())


def recover(settings: dict[str, object]) -> int:
    """Close the books of runs whose process has gone, as `tierdrill recover` does."""

    home = Path(str(settings["home"]))
    with closing(HistoryStore(home)) as store, closing(Ledger(home)) as ledger:
        live = {one.run for one in ledger.processes() if one.process.lives()}
        for record in store.runs(limit=1000):
            if record.status is None and record.run not in live:
                store.finish(record.run, time.time(), "aborted", "the runner died")
    return 0


def main() -> int:
    """Entry; see above."""
    script = Path(sys.argv[1])
    settings = json.loads(script.read_text())
    if sys.argv[2] == "recover":
        return recover(settings)
    return run(script, settings, sys.argv[3:])


if __name__ == "__main__":
    sys.exit(main())
