"""The ledger: what is injected, how to undo it and until when it may stay; which processes a run owns; the kill switch;
and by environment_locks.py which run has which environment.

Every write is on the disk before the call returns (synchronous=FULL): an intent exists before its fault does. Leases
are measured since boot, sleep included, so that neither a jump of the wall clock nor a machine that sleeps extends one;
after a reboot every lease has run out.
"""

import contextlib
import json
import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path
from typing import Any

from tierdrill.history.audit_log import AuditEntry, AuditError, append
from tierdrill.history.database_file import is_corrupt
from tierdrill.history.environment_locks import EnvironmentLocks
from tierdrill.history.ledger_tables import LEDGER_VERSION, LedgerFault, OwnedProcess, change
from tierdrill.history.switch_file import Halt, kill_switch, stop_switch
from tierdrill.process.identity import ProcessId, boot_identity, since_boot
from tierdrill.text import Explained, valid

LEDGER_FILE = "ledger.db"
_log = logging.getLogger(__name__)


class LedgerError(Explained):
    """The ledger cannot be read or written, or refuses (a lock held by somebody else)."""


class Ledger(EnvironmentLocks):
    """The ledger of one home. Safe for several processes; one instance per thread."""

    FILE, VERSION, FAILURE = LEDGER_FILE, LEDGER_VERSION, LedgerError

    def __init__(self, home: Path) -> None:
        self.home = home
        self._boot = boot_identity()
        self._kill_switch = kill_switch(home)
        super().__init__(home)
        self._begun.mark()
        self._kill_switch.prepare()

    def _begin(self) -> None:
        self._begun = _Begun(self.path)
        self._database = self._open()

    def _change(self, database: sqlite3.Connection, version: int) -> None:
        if version == 0:
            self._begun.refuse_if_so()
        change(database, version)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise LedgerError(f"{error.filename or self.path}: {error.strerror}") from error
        except sqlite3.Error as error:
            # Never begun anew by itself: what it held may still be injected.
            told = "; it may hold faults to undo: bring it back, or move it away once all is well" * is_corrupt(error)
            raise LedgerError(f"{self.path}: {error}{told}") from error

    def intend(self, fault: str, run: str, order: dict[str, Any], place: dict[str, Any], lease_s: float) -> None:
        """Write down, durably, what is about to be injected and how it is undone."""
        undo = (json.dumps(order, sort_keys=True), json.dumps(place, sort_keys=True))
        lease = (lease_s, since_boot() + lease_s, self._boot)
        self._do(
            "INSERT OR REPLACE INTO faults VALUES (?, ?, ?, ?, 'intended', ?, ?, ?, ?, '')",
            *(fault, run, *undo, time.time(), *lease),
        )

    def keep(self, entry: str, run: str, order: dict[str, Any], place: dict[str, Any], lease_s: float) -> bool:
        """As `intend`, unless the entry is open: then the older undo stays, and its lease begins anew.

        Whether it was written now. Atomic: of two who change one setting, the first one's undo counts.
        """
        with self._transaction() as database:
            open_already = database.execute(
                "UPDATE faults SET lease_until = ? + lease_s, boot = ? WHERE id = ? AND state != 'gone'",
                (since_boot(), self._boot, entry),
            )
            if not open_already.rowcount:
                self.intend(entry, run, order, place, lease_s)
        return not open_already.rowcount

    def confirm(self, fault: str) -> None:
        """Whoever is about to inject looks once more: the intent stands, and its lease begins now. LedgerError if not.

        Between intent and injection there may be a long wait, or a process that stood still. Meanwhile the reaper may
        have undone what was only intended, and what is injected after that nobody would undo.
        """
        if halt := self.halted():
            raise LedgerError(f"the kill switch is on: {halt.reason} ({halt.author})")
        stands = self._do(
            "UPDATE faults SET lease_until = ?1 + lease_s "
            "WHERE id = ?2 AND state = 'intended' AND lease_until > ?1 AND boot = ?3",
            *(since_boot(), fault, self._boot),
        )
        if not stands.rowcount:
            raise LedgerError(f"the intent of {fault} has lapsed: its lease ran out, or it was undone meanwhile")

    def mark(self, fault: str, state: str, note: str = "", *, for_s: float = 0.0) -> None:
        """Move a fault on: landed, reverting, gone or stuck (the undo failed; `recover` will try again). Its lease ends
        no sooner than in so many seconds. What another has seen gone meanwhile is not opened again by an undo.
        """
        self._do(
            "UPDATE faults SET state = ?1, note = ?2, lease_until = max(lease_until, ?3) WHERE id = ?4 "
            "AND (state != 'gone' OR ?1 NOT IN ('reverting', 'stuck'))",
            *(state, note, since_boot() + for_s, fault),
        )

    def close_entry(self, fault: str, note: str) -> bool:
        """It was seen gone: close its entry. False if it was landed anew while it was being undone."""
        closed = self._do(
            "UPDATE faults SET state = 'gone', note = ? WHERE id = ? AND state NOT IN ('intended', 'landed')",
            *(note, fault),
        )
        return closed.rowcount > 0

    def renew(self, run: str) -> list[str]:
        """Extend the leases of a run's open faults by their length from now; their ids."""
        rows = self._rows(
            "UPDATE faults SET lease_until = ? + lease_s, boot = ? "
            "WHERE run = ? AND state IN ('intended', 'landed') RETURNING id",
            *(since_boot(), self._boot, run),
        )
        return [str(row[0]) for row in rows]

    def open_faults(self, run: str | None = None) -> list[LedgerFault]:
        """Everything not seen gone, oldest first."""
        rows = self._rows(
            "SELECT id, run, fault_order, place, state, intended_at, lease_s, lease_until, boot, note FROM faults "
            "WHERE state != 'gone' AND (?1 IS NULL OR run = ?1) ORDER BY intended_at",
            run,
        )
        now = since_boot()
        return [
            LedgerFault(
                *(name, of, json.loads(order), json.loads(place), state, at, lease),
                expired=until <= now or boot != self._boot,
                note=note,
            )
            for name, of, order, place, state, at, lease, until, boot, note in rows
        ]

    def own(self, process: OwnedProcess) -> None:
        """Record a process the run started, so that a reaper can end it."""
        columns = (process.run, process.role, *astuple(process.process), process.pgid)
        self._do("INSERT OR REPLACE INTO processes VALUES (?, ?, ?, ?, ?, ?, ?)", *columns)

    def disown(self, run: str) -> None:
        """Forget a run's processes, once they are gone."""
        self._do("DELETE FROM processes WHERE run = ?", run)
        stop_switch(self.home, run).remove()

    def processes(self, run: str | None = None) -> list[OwnedProcess]:
        rows = self._rows(
            "SELECT run, role, pid, ticks, boot, space, pgid FROM processes WHERE (?1 IS NULL OR run = ?1)", run
        )
        return [OwnedProcess(row[0], row[1], ProcessId(*row[2:6]), row[6]) for row in rows]

    def record(self, asked: Halt) -> None:
        """Write a halt down, in the audit log too; the kill switch itself is a file."""
        self._do("INSERT INTO halts VALUES (?, ?, ?, NULL, NULL, NULL)", asked.at, asked.author, asked.reason)
        self._audit("halt", asked.author, asked.reason, "on")

    def _audit(self, what: str, author: str, reason: str, after: str) -> None:
        try:
            append(self.home, AuditEntry(author, what, "kill switch", reason, {"on": "off", "off": "on"}[after], after))
        except AuditError as error:
            raise LedgerError(str(error)) from error

    def resume(self, author: str, reason: str) -> bool:
        """Lift the kill switch; whether it was thrown."""
        changed = self._do(
            "UPDATE halts SET lifted_at = ?, lifted_by = ?, lift_reason = ? WHERE lifted_at IS NULL",
            *(time.time(), valid(author), valid(reason)),
        )
        with self._explained():
            thrown = self._kill_switch.thrown() is not None
            self._kill_switch.release()
        lifted = thrown or changed.rowcount > 0
        if lifted:
            self._audit("resume", valid(author), valid(reason), "off")
        return lifted

    def halted(self) -> Halt | None:
        """The halt in force, if any."""
        if asked := self._kill_switch.thrown():
            return asked
        rows = self._rows("SELECT at, author, reason FROM halts WHERE lifted_at IS NULL ORDER BY at LIMIT 1")
        return Halt(*rows[0]) if rows else None

    def ask_stop(self, run: str, author: str, reason: str) -> None:
        with self._explained():
            stop_switch(self.home, run).throw(Halt(time.time(), valid(author), valid(reason)))
        try:
            append(self.home, AuditEntry(valid(author), "drill.stopped", run, valid(reason)))
        except AuditError as error:
            _log.warning("that %s was asked to stop is not in the audit log: %s", run, error)

    def stop_asked(self, run: str) -> Halt | None:
        return stop_switch(self.home, run).thrown()

    def keep_digest(self, run: str, events: int, digest: str) -> None:
        """Record how many events the history of a run that has ended has, and the digest of the last."""
        self._do("INSERT OR REPLACE INTO histories VALUES (?, ?, ?, ?)", run, events, digest, time.time())

    def digest(self, run: str) -> str | None:
        """The digest of the last event of a run, as it was when it ended; None where none was kept."""
        rows = self._rows("SELECT digest FROM histories WHERE run = ?", run)
        return str(rows[0][0]) if rows else None


class _Begun:
    """Whether a ledger has been in use: one that is empty then has lost what it held, and must not be taken for new.

    A file beside it says so. One that was moved away is begun anew, for whoever did it was told to.
    """

    def __init__(self, ledger: Path) -> None:
        self._ledger, self._path = ledger, ledger.with_name("ledger.begun")
        if not ledger.exists():
            self._path.unlink(missing_ok=True)

    def refuse_if_so(self) -> None:
        if self._path.exists():
            raise LedgerError(
                f"{self._ledger}: it is empty, and was not before; it may have held faults to undo: bring it back, or "
                "move it away once all is well"
            )

    def mark(self) -> None:
        with contextlib.suppress(OSError):
            os.close(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
