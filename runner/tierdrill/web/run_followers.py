"""The runs that go on, followed as their events come: each event is read once, however many people look."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from tierdrill.documents.catalogue import DrillSetting
from tierdrill.documents.models.tiers import Tiers
from tierdrill.history.audit_log import AUDIT_FILE
from tierdrill.history.history_store import HistoryStore
from tierdrill.history.kill_switch import halted
from tierdrill.history.kinds.run_kinds import RunStarted
from tierdrill.history.ledger import Ledger, LedgerError
from tierdrill.history.sealed import EXERCISE
from tierdrill.history.switch_file import Halt, kill_switch
from tierdrill.recovery.status import live_in
from tierdrill.report.live import current_rows
from tierdrill.report.live.current_rows import Progress, Row, TierRow
from tierdrill.report.run_model import RunState
from tierdrill.report.run_state import reduce
from tierdrill.tier_policy.override_grants import RuleOverride, in_force

KEPT_S = 300.0
"""A run that nobody has asked about for so long is followed no more."""


@dataclass
class Followed:
    """One run so far. `setting` is None until its first event is there."""

    run: str
    state: RunState = field(default_factory=RunState)
    setting: DrillSetting | None = None
    sequence: int = 0
    asked_at: float = 0.0

    @property
    def tiers(self) -> Tiers | None:
        return self.setting.tiers if self.setting is not None else None

    def progress(self, now: float) -> Progress | None:
        if self.setting is None:
            return None
        return current_rows.progress(self.setting, self.state.variant, self.state, now)

    def tier_rows(self, now: float) -> list[TierRow]:
        return current_rows.tier_rows(self.tiers.by_rank(), self.state, now) if self.tiers is not None else []

    def rows(self, now: float) -> list[tuple[str, list[Row]]]:
        """Faults, alerts, playbooks and load, as the terminal's live view tells them."""
        return [
            ("Faults", current_rows.fault_rows(self.state, now)),
            ("Alerts", current_rows.alert_rows(self.state)),
            ("Playbooks", current_rows.playbook_rows(self.state)),
            ("Load", [current_rows.load_row(self.state)]),
        ]


@dataclass(frozen=True)
class HomeNow:
    """The home at one moment: the halt in force, the runs that go on, how many exercises do, the faults that are
    injected with no run that looks after them, and the rules that are lifted.
    """

    halt: Halt | None
    runs: tuple[str, ...] = ()
    exercises: int = 0
    left: tuple[str, ...] = ()
    overrides: tuple[RuleOverride, ...] = ()


def halt_of(home: Path) -> Halt | None:
    """The halt in force, as far as can be told: every page shows it, also of a home whose ledger is in trouble."""
    try:
        return halted(home)
    except LedgerError:
        return kill_switch(home).thrown()


def overrides_of(home: Path) -> tuple[RuleOverride, ...]:
    """The rules that are lifted now; the audit log is read again once something was added to it."""
    try:
        told = (home / AUDIT_FILE).stat()
    except OSError:
        return ()
    now = time.time()
    return tuple(one for one in _overrides(home, told.st_size, told.st_mtime_ns) if now < one.until)


@lru_cache(maxsize=4)
def _overrides(home: Path, size: int, changed: int) -> tuple[RuleOverride, ...]:
    return tuple(in_force(home))


def home_now(home: Path) -> HomeNow:
    """LedgerError, HistoryError where the home cannot be read."""
    with Ledger.kept(home) as ledger:
        if ledger is None:
            return HomeNow(kill_switch(home).thrown(), overrides=overrides_of(home))
        halt, live = ledger.halted(), live_in(ledger)
        left = [entry for entry in ledger.open_faults() if entry.run not in live]
    names = sorted(live)
    with closing(HistoryStore(home)) as store:
        records = {run: store.find(run) for run in names}
    exercises = {run for run, record in records.items() if record is not None and record.variant == EXERCISE}
    told = [
        f"{entry.order.get('kind', 'sealed')} on {entry.order.get('target')} of run {entry.run}"
        if "sealed" not in entry.order
        else f"a sealed fault of exercise {entry.run}"
        for entry in left
    ]
    return HomeNow(
        halt, tuple(run for run in names if run not in exercises), len(exercises), tuple(told), overrides_of(home)
    )


class RunFollowers:
    """Called from threads."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._lock = threading.Lock()
        self._followed: dict[str, Followed] = {}

    def follow(self, runs: tuple[str, ...]) -> list[Followed]:
        """These runs as they are now."""
        now = time.monotonic()
        with self._lock:
            self._followed = {
                run: one for run, one in self._followed.items() if run in runs or now - one.asked_at < KEPT_S
            }
            found = []
            for run in runs:
                one = self._followed.setdefault(run, Followed(run))
                one.asked_at = now
                self._advance(one)
                found.append(one)
            return found

    def _advance(self, one: Followed) -> None:
        with closing(HistoryStore(self._home)) as store:
            events = store.events(one.run, one.sequence)
        for event in events:
            one.state = reduce(one.state, event)
            if isinstance(said := event.payload, RunStarted) and said.setting:
                one.setting = DrillSetting.from_json(dict(said.setting))
        if events:
            one.sequence = events[-1].sequence
