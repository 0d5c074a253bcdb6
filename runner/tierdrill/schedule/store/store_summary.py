"""What the schedule's store says, as plain data: who runs it, what goes on, what is in use, how each entry fared."""

import time
from typing import Any

from tierdrill.schedule.store.slot_records import Attempt, SlotRecord
from tierdrill.schedule.store.slot_store import ScheduleStore


def summary(store: ScheduleStore | None) -> dict[str, Any]:
    """`schedulers`, `slots` (those that go on), `locks` and `entries`, each a list. Moments are Unix seconds."""
    if store is None:
        return {"schedulers": [], "slots": [], "locks": [], "entries": []}
    boottime = time.clock_gettime(time.CLOCK_BOOTTIME)
    schedulers = [
        {"pid": scheduler.pid, "since": since, "seen": seen, "calendars": calendars,
         "lives": store.lives(scheduler, None, boottime)}
        for scheduler, since, seen, _, calendars in store.schedulers()
    ]  # fmt: skip
    going = [slot_data(record, store.attempts(record.slot.key)) for record in store.open_slots()]
    locks = [
        {"environment": lock.environment, "slot": lock.key, "owner": lock.owner, "pid": lock.holder.pid,
         "since": lock.taken_at, "lease": lock.lease_s, "lives": store.lives(lock.holder, None, boottime)}
        for lock in store.locks()
    ]  # fmt: skip
    succeeded, ran = store.last_success(), store.last_run()
    entries = []
    for calendar, entry in sorted(store.known_since()):
        latest = store.latest(1, calendar=calendar, entry=entry)
        entries.append({
            "calendar": calendar, "entry": entry,
            "latest": slot_data(latest[0], store.attempts(latest[0].slot.key)) if latest else None,
            "last_run": ran.get((calendar, entry)), "last_success": succeeded.get((calendar, entry)),
        })  # fmt: skip
    return {"schedulers": schedulers, "slots": going, "locks": locks, "entries": entries}


def slot_data(record: SlotRecord, attempts: list[Attempt]) -> dict[str, Any]:
    """A slot with the drills that were tried in it."""
    return {
        "key": record.slot.key,
        "calendar": record.slot.calendar,
        "entry": record.slot.entry,
        "due": record.slot.due,
        "state": record.state.value,
        "outcome": record.outcome,
        "reason": record.reason,
        "late": record.lateness_s,
        "taken_over": record.takeovers,
        "decided": record.decided_at,
        "drills": [
            {
                "drill": one.drill, "run": one.run, "state": one.state, "status": one.status, "reason": one.reason,
                "started": one.started_at, "ended": one.ended_at, "gates": list(one.gates),
            }
            for one in attempts
        ],
    }  # fmt: skip
