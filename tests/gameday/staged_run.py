"""Plays `tierdrill run` for tests of game days: a real process with a real history, and no lab. Made-up events.

It lasts STAGED_SECONDS between the fault and its end, obeys a request to stop, and refuses while the kill switch is on,
as the real one does; STAGED_STUBBORN=1 makes it deaf. With `--sabotage` nobody moves the work, and it fails.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

from tests.judge.build import Run, shipped
from tests.raw_event import event
from tierdrill.history.events import Event
from tierdrill.history.history_store import HistoryStore
from tierdrill.history.ledger import Ledger
from tierdrill.judge.judge import judge
from tierdrill.recovery.cleanup import own_process

POLL_S = 0.02


def main(arguments: list[str]) -> int:
    """One staged run."""
    home = Path(arguments[arguments.index("--home") + 1])
    drill = arguments[arguments.index("run") + 1]
    sabotaged = "--sabotage" in arguments
    with contextlib.closing(Ledger(home)) as ledger, contextlib.closing(HistoryStore(home)) as store:
        if halt := ledger.halted():
            print(f"tierdrill: the kill switch is on: {halt.reason}", file=sys.stderr)
            return 2
        run = f"{drill}-{os.getpid()}"
        if (me := own_process(run, "runner", os.getpid())) is not None:
            ledger.own(me)
        if name := os.environ.get("STAGED_GUARDRAIL"):
            return _breached(store, run, drill, name)
        return _play(ledger, store, run, drill, sabotaged)


def _events(run: str, drill: str, *, sabotaged: bool) -> list[Event]:
    """The whole history, as if it had ended now."""
    made = Run(playbooks=()) if sabotaged else Run()
    events = made.events(shipped("node-loss"))
    shift = time.time() - events[-1].at
    first = replace(events[0], data={**events[0].data, "run": run, "drill": drill, "planned": {"fault": 16.0}})
    return [replace(one, at=one.at + shift, data=_moved(one.data, shift, run)) for one in [first, *events[1:]]]


def _moved(data: dict[str, object], shift: float, run: str) -> dict[str, object]:
    moments = ("effective_at", "gone_at", "planned_at", "schedule_zero", "starts_at")
    moved = {
        name: value + shift if name in moments and isinstance(value, float) else value for name, value in data.items()
    }
    if "fault" in data:
        moved["fault"] = f"{run}/{str(data['fault']).partition('/')[2]}"
    columns = data.get("columns")
    if isinstance(columns, dict) and "due" in columns:
        moved["columns"] = {**columns, "due": [due + shift for due in columns["due"]]}
    return moved


def _play(ledger: Ledger, store: HistoryStore, run: str, drill: str, sabotaged: bool) -> int:
    events = _events(run, drill, sabotaged=sabotaged)
    store.begin(run, drill, "drill", events[0].at)
    print(events[0].to_line(), flush=True)
    landed = next(number for number, one in enumerate(events) if one.kind == "fault.landed") + 1
    store.append_many(run, events[:landed])
    until = time.monotonic() + float(os.environ.get("STAGED_SECONDS", "0.3"))
    stubborn = os.environ.get("STAGED_STUBBORN") == "1"
    while time.monotonic() < until:
        if not stubborn and (asked := ledger.stop_asked(run)):
            store.append_many(run, _stopped(events, "stop", asked.reason))
            return _end(store, run)
        time.sleep(POLL_S)
    store.append_many(run, events[landed:])
    return _end(store, run)


def _stopped(events: list[Event], by: str, reason: str) -> list[Event]:
    """The end of a run that was stopped: the fault is undone and seen gone."""
    gone = next(one for one in events if one.kind == "fault.gone")
    now = time.time()
    return [
        event("run.stopping", "runner", by=by, reason=reason),
        replace(gone, at=now, data={**gone.data, "gone_at": now}),
        event("ledger.open", "runner", faults=[], processes=[]),
        event("run.ended", "runner", outcome="aborted", reason=reason),
    ]


def _breached(store: HistoryStore, run: str, drill: str, guardrail: str) -> int:
    events = _events(run, drill, sabotaged=False)
    landed = next(number for number, one in enumerate(events) if one.kind == "fault.landed") + 1
    store.begin(run, drill, "drill", events[0].at)
    print(events[0].to_line(), flush=True)
    store.append_many(
        run,
        [
            *events[:landed],
            event("guardrail.breached", "runner", guardrail=guardrail, seen="much too much failed"),
            *_stopped(events, "guardrail", "a guardrail"),
        ],
    )
    return _end(store, run)


def _end(store: HistoryStore, run: str) -> int:
    verdict = judge(store.events(run))
    store.finish(run, time.time(), verdict.status.value, verdict.summary)
    return verdict.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
