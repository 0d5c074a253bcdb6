"""How long a year of a large calendar takes: 1,000 entries in ten zones with windows, blackouts and jitter.

Run: python tests/bench/bench_calendar.py [entries, default 1000] [--dense]. With --dense every entry has a slot an hour
instead of one a night. First by the real command, `tierdrill schedule simulate`, with every decision listed; then the
slots alone, beside APScheduler's CronTrigger and a plain walk over every minute of the year, both on a few entries and
reckoned up. Figures are seconds of processor time, which other work on the machine does not change.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from apscheduler.triggers.cron import CronTrigger as TheirTrigger
from bench_arguments import arguments

from tierdrill.documents.catalogue_reader import FROM_DOCUMENT
from tierdrill.documents.models.calendar import Calendar
from tierdrill.documents.timetable import Timetable, timetable_of
from tierdrill.schedule.slots import due_slots

ROOT = Path(__file__).resolve().parents[2]
ZONES = (
    "UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/Sao_Paulo",
    "Africa/Casablanca", "Asia/Tokyo", "Pacific/Auckland", "Europe/Dublin",
)  # fmt: skip
START = datetime(2026, 1, 1, tzinfo=UTC)
YEAR = timedelta(days=365)
MINUTE = timedelta(minutes=1)
SAMPLE = 5


def calendar_text(entries: int, dense: bool) -> str:
    """A calendar whose entries never meet: each has an environment of its own."""
    lines = [
        "apiVersion: tierdrill/v1", "kind: Calendar", "metadata: {name: large, owner: bench}",
        'windows: [{weekdays: [mon, tue, wed, thu, fri]}]',
        "blackouts: {ranges: [{start: '2026-12-20', end: '2027-01-06'}], dates: [{date: '2026-05-01'}]}", "entries:",
    ]  # fmt: skip
    for number in range(entries):
        hours = "*" if dense else str(number // 60 % 24)
        lines.append(
            f"  - {{name: entry-{number}, drill: node-loss, environment: lab-{number}, jitter: 10m, "
            f'timezone: {ZONES[number % len(ZONES)]}, cron: "{number % 60} {hours} * * *"}}'
        )
    return "\n".join(lines) + "\n"


def by_command(text: str, entries: int) -> None:
    """The real command on a catalogue with that calendar and an environment for each entry."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in ("drills", "experiments", "playbooks"):
            subprocess.run(["cp", "-r", str(ROOT / name), str(root / name)], check=True)
        (root / "drills" / "calendars" / "nightly.yaml").write_text(text)
        lab = (root / "drills" / "platform" / "lab.yaml").read_text()
        labs = [lab.replace("name: lab\n", f"name: lab-{number}\n") for number in range(entries)]
        for start in range(0, entries, 100):
            (root / "drills" / "platform" / f"labs-{start}.yaml").write_text("\n---\n".join(labs[start : start + 100]))
        done = subprocess.run(
            [sys.executable, "-m", "tierdrill", "--catalogue", folder, "schedule", "simulate", "--days", "365",
             "--from", "2026-01-01"],
            env={**os.environ, "TIERDRILL_HOME": f"{folder}/home"}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        took = used.ru_utime + used.ru_stime
        print(f"simulate: exit {done.returncode}, {done.stdout.count(chr(10)) - entries - 1:,} decisions listed "
              f"in {took:.1f} s (documents read and checked, too)")  # fmt: skip
        if done.returncode:
            print(done.stderr[:2000], done.stdout[:2000])


def ours(timetable: Timetable) -> float:
    """Seconds for a year of slots with their rules, merged in order."""
    began = time.process_time()
    count = held = 0
    for slot in due_slots([timetable], START, START + YEAR):
        count += 1
        held += slot.held is not None
    took = time.process_time() - began
    print(f"slots alone: {count:,}, {held:,} of them held, in {took:.2f} s, {took / count * 1e6:.1f} us each")
    return took


def theirs(timetable: Timetable) -> float:
    """Seconds for a year by APScheduler's trigger, no rules asked, reckoned up from a few entries."""
    entries = timetable.calendar.entries[:SAMPLE]
    began = time.process_time()
    for entry in entries:
        trigger = TheirTrigger.from_crontab(entry.cron, timezone=entry.timezone)
        fired, now = None, START
        while now < START + YEAR:
            fired = trigger.get_next_fire_time(fired, now)
            now = fired + timedelta(microseconds=1)
    return (time.process_time() - began) / len(entries) * len(timetable.entries)


def walking(timetable: Timetable) -> float:
    """Seconds for a year by looking at the clock every minute, reckoned up from a few entries."""
    entries = list(timetable.entries.values())[:SAMPLE]
    began = time.process_time()
    for times in entries:
        zone, line = times.trigger.zone, times.trigger.line
        minutes = frozenset(line.minutes)
        moment, seen = START, START.astimezone(zone).replace(tzinfo=None)
        while moment < START + YEAR:
            moment += MINUTE
            wall = moment.astimezone(zone).replace(tzinfo=None)
            if wall > seen and wall.hour * 60 + wall.minute in minutes and line.takes(wall.date()):
                times.rules.held(moment)
            seen = max(seen, wall)
    return (time.process_time() - began) / len(entries) * len(timetable.entries)


def main() -> None:
    given = arguments(__doc__, entries=1000, dense=False)
    entries, dense = given.entries, given.dense
    text = calendar_text(entries, dense)
    if not dense:
        by_command(text, entries)
    import yaml

    timetable = timetable_of(Calendar.model_validate(yaml.safe_load(text), context=FROM_DOCUMENT), Path("large.yaml"))
    mine = ours(timetable)
    for name, took in (("APScheduler's CronTrigger", theirs(timetable)), ("walking every minute", walking(timetable))):
        print(f"{name}: about {took:.0f} s, {took / mine:.1f} times as long")


if __name__ == "__main__":
    main()
