"""Which runs go on: those whose runner, as the ledger has it, still lives; and which dead ones a reaper is healing."""

import time
from contextlib import closing
from pathlib import Path
from typing import Any

from tierdrill.history.database_file import kept_copies
from tierdrill.history.history_store import HistoryStore
from tierdrill.history.ledger import Ledger
from tierdrill.history.ledger_tables import LedgerFault
from tierdrill.history.liveness import living
from tierdrill.history.projection import project
from tierdrill.history.sealed import EXERCISE
from tierdrill.history.switch_file import kill_switch
from tierdrill.process.identity import STOPPED, ProcessId, me
from tierdrill.targets.base import REMEDY
from tierdrill.targets.target_registry import labs_of
from tierdrill.tier_policy.override_grants import in_force


def live_runs(home: Path) -> dict[str, int]:
    """The runs that go on, with their runner's process id."""
    with Ledger.kept(home) as ledger:
        return live_in(ledger) if ledger else {}


def live_in(ledger: Ledger) -> dict[str, int]:
    """As `live_runs`, of a ledger that is open already."""
    return {
        process.run: process.pid
        for process in ledger.processes()
        if process.role == "runner" and ledger.alive(process.run, process.process)
    }


def stopped_runs(ledger: Ledger) -> set[str]:
    """The runs whose runner lives and was stopped (SIGSTOP): it renews no lease."""
    return {
        process.run for process in ledger.processes() if process.role == "runner" and process.process.state() == STOPPED
    }


def stopped_reapers(home: Path) -> dict[str, ProcessId]:
    """The reapers that were stopped (SIGSTOP), by their run."""
    return {run: process for run, process in living(home, "reapers") if process and process.state() == STOPPED}


def reapers(home: Path) -> set[str]:
    """The runs whose reaper works: while it does, it heals after a runner that died.

    One that was stopped (SIGSTOP) looks after nothing.
    """
    me()  # says so where processes cannot be looked at
    return {run for run, process in living(home, "reapers") if process is None or process.state() != STOPPED}


def look(home: Path) -> dict[str, Any]:
    """Everything there is to tell. Not `clean`: something is injected, or left behind, that no run looks after."""
    live = live_runs(home)
    faults, strays, locks = list[dict[str, Any]](), list[dict[str, Any]](), list[dict[str, Any]]()
    with Ledger.kept(home) as ledger:
        if ledger is None:
            halt = kill_switch(home).thrown()
        else:
            halt = ledger.halted()
            faults = _faults(home, ledger, live)
            strays = [
                {"run": process.run, "role": process.role, "pid": process.pid}
                for process in ledger.processes()
                if process.run not in live and process.process.lives()
            ]
            held = ledger.locks(living=True)
            locks = [{"environment": lock[0], "run": lock[1], "pid": lock[2], "owner": lock[3]} for lock in held]
            strays += [
                {"run": run, "role": "stopped reaper", "pid": process.pid}
                for run, process in stopped_reapers(home).items()
                if run not in live
            ]
    labs = [
        {
            "name": lab.name,
            "state": lab.state,
            "run": lab.name if lab.name in live else None,
            "lost": list(lab.lost),
            "environment": lab.environment,
        }
        for lab in labs_of(home).standing()
    ]
    return {
        "home": str(home),
        "runs": [{"run": run, "pid": pid, "phase": _phase(home, run)} for run, pid in sorted(live.items())],
        "halt": {"author": halt.author, "reason": halt.reason, "at": halt.at} if halt else None,
        "faults": [fault for fault in faults if fault["kind"] != REMEDY],
        # What playbooks have changed and not yet taken back.
        "remedies": [fault for fault in faults if fault["kind"] == REMEDY],
        "strays": strays,
        "labs": labs,
        "locks": locks,
        "overrides": [one.plain(time.time()) for one in in_force(home)],
        "set_aside": [str(path) for path in kept_copies(home)],
        "clean": not strays
        and all(fault["run_lives"] and (fault["reaper_lives"] or not fault["run_stopped"]) for fault in faults)
        and not any(lab["state"] == "broken" and lab["run"] is None for lab in labs),
    }


def _faults(home: Path, ledger: Ledger, live: dict[str, int]) -> list[dict[str, Any]]:
    entries, stopped = ledger.open_faults(), stopped_runs(ledger)
    alone = [entry for entry in entries if entry.run not in live or entry.run in stopped]
    healing = reapers(home) if alone else set()
    leases = labs_of(home).leases() if alone else {}
    return [_fault(entry, live, stopped, healing, leases) for entry in entries]


def _fault(
    entry: LedgerFault, live: dict[str, int], stopped: set[str], healing: set[str], leases: dict[str, str]
) -> dict[str, Any]:
    return {
        "fault": entry.id,
        "run": entry.run,
        # An exercise's is sealed: that something is injected is told, what it is only in the debrief.
        "kind": entry.order.get("kind", "sealed"),
        "target": entry.order.get("target"),
        "sealed": "sealed" in entry.order,
        "state": entry.state,
        "age": round(max(0.0, time.time() - entry.intended_at), 1),
        "lease": entry.lease_s,
        "lease_ran_out": entry.expired,
        "note": entry.note,
        "run_lives": entry.run in live,
        "run_stopped": entry.run in stopped,
        "reaper_lives": entry.run in healing or (entry.run in live and entry.run not in stopped),
        # What the lab's own timer has made of it: null where nobody asked, or where there is none.
        "lab_lease": leases.get(entry.id),
    }


def _phase(home: Path, run: str) -> str:
    with closing(HistoryStore(home)) as store:
        record = store.find(run)
        if record is not None and record.variant == EXERCISE:
            return EXERCISE
        events = store.events(run)
    phases = project(events).phases
    return phases[-1].name if phases and phases[-1].ended is None else "between phases"
