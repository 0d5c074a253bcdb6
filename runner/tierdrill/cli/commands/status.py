"""`tierdrill status`: what runs, what is injected, what is halted, which labs are up. It tells; it changes nothing."""

from __future__ import annotations

import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import click

from tierdrill.cli.folders import Surroundings
from tierdrill.cli.live_runs import live_runs, reapers, stopped_reapers, stopped_runs
from tierdrill.cli.options import echo_json, json_option
from tierdrill.text import visible

if TYPE_CHECKING:
    from tierdrill.history.ledger import LedgerFault
    from tierdrill.lab.lab_files import LabState

UNCLEAN = 5
REMEDY = "remedy"


@click.command("status")
@json_option
@click.pass_obj
def command(here: Surroundings, as_json: bool) -> int:
    """Show what runs, what is injected, what is halted, and which labs are up.

    Exit code 5 if something is still injected, or was left behind, with no run that looks after it.
    """
    found = look(here)
    if as_json:
        echo_json(found)
    else:
        for line in _lines(found):
            click.echo(visible(line))
    return 0 if found["clean"] else UNCLEAN


def look(here: Surroundings) -> dict[str, Any]:
    """Everything there is to tell, as plain data."""
    from tierdrill.history.ledger import Ledger
    from tierdrill.history.switches import kill_switch
    from tierdrill.lab.lab_files import running_labs, stale_labs, unreadable_labs

    unknown = [{"name": name, "state": "unreadable", "run": None} for name in unreadable_labs(here.home)]
    if not (here.home / "ledger.db").exists():
        kept = [_lab(state, {}) for state in running_labs(here.home)]
        return _document(here, {}, kill_switch(here.home).thrown(), [], [], kept + unknown, [])
    live = live_runs(here.home)
    with closing(Ledger(here.home)) as ledger:
        halt = ledger.halted()
        entries = ledger.open_faults()
        stopped = stopped_runs(ledger)
        alone = [entry for entry in entries if entry.run not in live or entry.run in stopped]
        healing = reapers(here.home) if alone else set()
        leases = _leases(here) if alone else {}
        faults = [_fault(entry, live, stopped, healing, leases) for entry in entries]
        strays = [
            {"run": process.run, "role": process.role, "pid": process.pid}
            for process in ledger.processes()
            if process.run not in live and process.process.lives()
        ]
        strays += [
            {"run": run, "role": "stopped reaper", "pid": process.pid}
            for run, process in stopped_reapers(here.home).items()
            if run not in live
        ]
        held = ledger.held()
        locks = [{"environment": lock[0], "run": lock[1], "pid": lock[2], "owner": lock[3]} for lock in held]
    labs_up = running_labs(here.home)
    labs = [_lab(state, live) for state in labs_up]
    labs += [{"name": state.name, "state": "dead", "run": None} for state in stale_labs(here.home)]
    return _document(here, live, halt, faults, strays, labs + unknown, locks)


def _leases(here: Surroundings) -> dict[str, str]:
    """What the labs say of the leases that they keep by themselves: held, undoing, undone or stuck, by fault."""
    from tierdrill.lab.client import LabClient, LabError
    from tierdrill.lab.lab_files import running_labs

    found: dict[str, str] = {}
    for state in running_labs(here.home):
        with suppress(LabError), LabClient(state) as client:
            found |= {str(lease["name"]): str(lease["state"]) for lease in client.leases()}
    return found


def _lab(state: LabState, live: dict[str, int]) -> dict[str, Any]:
    """A lab that is up, and what it has lost: a process that ended and is not (yet) started again."""
    from tierdrill.lab.lab_files import lost_parts

    lost = lost_parts(state) if state.ready else []
    run = state.name if state.name in live else None
    return {"name": state.name, "state": "broken" if lost else "up", "run": run, "lost": lost}


def _document(
    here: Surroundings,
    live: dict[str, int],
    halt: Any,
    faults: list[dict[str, Any]],
    strays: list[dict[str, Any]],
    labs: list[dict[str, Any]],
    locks: list[dict[str, Any]],
) -> dict[str, Any]:
    from tierdrill.history.damaged_database import kept_copies

    return {
        "home": str(here.home),
        "runs": [{"run": run, "pid": pid, "phase": _phase(here, run)} for run, pid in sorted(live.items())],
        "halt": {"author": halt.author, "reason": halt.reason, "at": halt.at} if halt else None,
        "faults": [fault for fault in faults if fault["kind"] != REMEDY],
        # What playbooks have changed and not yet taken back.
        "remedies": [fault for fault in faults if fault["kind"] == REMEDY],
        "strays": strays,
        "labs": labs,
        "locks": locks,
        "notifications": _notifications(here),
        "set_aside": [str(path) for path in kept_copies(here.home)],
        "clean": not strays
        and all(fault["run_lives"] and (fault["reaper_lives"] or not fault["run_stopped"]) for fault in faults)
        and not any(lab["state"] == "broken" and lab["run"] is None for lab in labs),
    }


def _notifications(here: Surroundings) -> dict[str, int]:
    from tierdrill.schedule.notify.outbox_counts import waiting_and_given_up

    return waiting_and_given_up(here.home)


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


def _phase(here: Surroundings, run: str) -> str:
    from tierdrill.history.history_store import HistoryStore
    from tierdrill.history.sealed import EXERCISE

    with closing(HistoryStore(here.home)) as store:
        record = store.find(run)
        if record is not None and record.variant == EXERCISE:
            return EXERCISE
        events = store.events(run)
    phases = [event for event in events if event.kind in ("phase.started", "phase.ended")]
    return str(phases[-1].data["phase"]) if phases and phases[-1].kind == "phase.started" else "between phases"


def _keeper(fault: dict[str, Any]) -> str:
    if fault["run_lives"] and not fault["run_stopped"]:
        return "its run looks after it"
    what = "is stopped (SIGSTOP)" if fault["run_stopped"] else "died"
    if fault["reaper_lives"]:
        return f"its run {what} and its reaper undoes it"
    if fault["lab_lease"] == "undone":
        return f"its run {what}; its lab has undone it, and `tierdrill recover` closes the entry"
    timer = ", its lab undoes it when the lease runs out" if fault["lab_lease"] in ("held", "undoing") else ""
    return f"NO RUN LOOKS AFTER IT{timer}"


def _lines(found: dict[str, Any]) -> list[str]:
    lines = [f"home {found['home']}"]
    if halt := found["halt"]:
        since = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(halt["at"]))
        lines.append(f"HALTED by {halt['author']} since {since}: {halt['reason']} (tierdrill resume lifts it)")
    lines += [f"run {run['run']} goes on: {run['phase']} (pid {run['pid']})" for run in found["runs"]]
    if not found["runs"]:
        lines.append("no run goes on")
    for fault in (*found["faults"], *found["remedies"]):
        lease = "its lease has run out" if fault["lease_ran_out"] else f"lease {fault['lease']:g} s"
        keeper = _keeper(fault)
        note = f", {fault['note']}" if fault["note"] else ""
        named = "sealed until the debrief" if fault["sealed"] else f"{fault['kind']} on {fault['target']}"
        done = f"changed by a playbook: {fault['target']}" if fault["kind"] == REMEDY else f"injected: {named}"
        lines.append(f"{done} for {fault['age']:g} s, {fault['state']}, {lease}, {keeper}{note}")
    if not found["faults"]:
        lines.append("nothing is injected")
    lines += [f"left over: {stray['role']} (pid {stray['pid']}) of run {stray['run']}" for stray in found["strays"]]
    for lab in found["labs"]:
        owner = f" for run {lab['run']}" if lab["run"] else ""
        state = {
            "up": f"is up{owner}",
            "broken": f"is broken{owner}: it has lost {', '.join(lab.get('lost', []))}",
            "dead": "is dead, its state file is left",
            "unreadable": f"may be up: its state file in {found['home']}/labs/{lab['name']} cannot be read",
        }
        lines.append(f"lab {lab['name']} {state[lab['state']]}")
    if not found["labs"]:
        lines.append("no lab is up")
    for lock in found["locks"]:
        lines.append(f"environment {lock['environment']} is held by run {lock['run']} (pid {lock['pid']})")
    told = found["notifications"]
    if told["waiting"] or told["failed"]:
        given_up = f", {told['failed']} given up" if told["failed"] else ""
        lines.append(f"notifications: {told['waiting']} waiting{given_up} (tierdrill notify log)")
    lines += [f"a corrupt database is kept as {path}; move it away once looked at" for path in found["set_aside"]]
    if not found["clean"]:
        lines.append("`tierdrill recover` undoes and ends what was left behind")
    return lines
