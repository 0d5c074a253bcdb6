"""Starting a run: what keeps it from that, where it is written down, and what breaks it afterwards."""

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tierdrill.documents.models.environment import Environment
from tierdrill.documents.models.tiers import Tiers
from tierdrill.documents.models.workloads import Workloads
from tierdrill.history.audit_log import AuditEntry, AuditError, append
from tierdrill.history.history_store import HistoryError, HistoryStore
from tierdrill.history.ledger import Ledger, LedgerError
from tierdrill.home import run_folder
from tierdrill.process.identity import me
from tierdrill.text import Explained, listed
from tierdrill.tier_policy.document_changes import record_documents


class RunRefused(Explained):
    """The run was not started, and nothing was touched: halted, locked, impossible to plan, or no lab.

    The message says why.
    """


class RunBroken(Explained):
    """A run that had begun could not be seen through: its files or its history cannot be written or read any more.

    `exit_code` is the verdict's that such a run has: unclean where something may still be injected, else inconclusive.
    """

    def __init__(self, run: str, error: Exception, *, clean: bool) -> None:
        what = f"{error.filename or ''}: {error.strerror}" if isinstance(error, OSError) else str(error)
        left = "" if clean else "; a fault may still be injected; run `tierdrill recover`"
        super().__init__(f"run {run} failed: {what}{left}")
        self.exit_code = 3 if clean else 5


@contextmanager
def begun(ledger: Ledger, run: str) -> Iterator[None]:
    """A run has begun: RunBroken for what breaks from here on, and is no bad input."""
    try:
        yield
    except (OSError, HistoryError, LedgerError) as error:
        raise RunBroken(run, error, clean=_is_clean(ledger, run)) from error


def _is_clean(ledger: Ledger, run: str) -> bool:
    """Whether it is known that nothing of that run is injected."""
    try:
        return not ledger.open_faults(run)
    except LedgerError:
        return False


@dataclass(frozen=True)
class RunRecords:
    """Where a run is written down: ledger, store of histories, and the folder of its files."""

    ledger: Ledger
    store: HistoryStore
    folder: Path


@contextmanager
def begin_run(
    home: Path, run: str, drill: str, variant: str, began: float, *, lock: str, author: str, kept: str | None = None,
    documents: Sequence[Tiers | Workloads | Environment] = (), in_maintenance: str = "",
) -> Iterator[RunRecords]:  # fmt: skip
    """A run that may start, as long as it lives: RunRefused where it may not (nothing was touched then), RunBroken for
    what breaks from here on. `lock` is the name of the environment that it holds, `documents` are those whose changes
    the audit log tells of, `in_maintenance` the role as which it is started although one goes on.
    """
    try:
        ledger, store = Ledger(home), HistoryStore(home)
    except (LedgerError, HistoryError) as error:
        raise RunRefused(str(error)) from error
    try:
        _may_start(ledger, run, lock, author, kept)
        try:
            record_documents(home, documents, author, run)
            state = {"drill": drill, "variant": variant, "on": lock}
            state |= {"in_maintenance": in_maintenance} if in_maintenance else {}
            append(home, AuditEntry(author, "drill.started", run, after=state))
        except AuditError as error:
            raise RunRefused(str(error)) from error
        folder = run_folder(home, run)
        folder.mkdir(parents=True, mode=0o700)
        store.begin(run, drill, variant, began)
        with begun(ledger, run):
            yield RunRecords(ledger, store, folder)
    finally:
        with suppress(LedgerError):
            ledger.unlock(lock, run)
        ledger.close()
        store.close()


def may_run_in_maintenance(tiers: Tiers, touched: Collection[str], role: str) -> str:
    """The maintenance of the tiers that are touched which goes on now, as words; empty where there is none.

    RunRefused while one does, but for a role with the right to declare one of each of these tiers.
    """
    declared = tiers.maintenance_at(time.time(), touched)
    if not declared:
        return ""
    if not role:
        raise RunRefused(f"{declared[0]}; wait for its end, or start all the same with `--in-maintenance ROLE`")
    for tier in tiers.tiers:
        allowed = tier.rights.declare_maintenance
        if tier.name in touched and allowed and role not in allowed and any(one.covers(tier.name) for one in declared):
            raise RunRefused(
                f"{role} has no right to start anything in a maintenance of {tier.name}; "
                f"rights.declare_maintenance has {listed(allowed)}"
            )
    return str(declared[0])


def _may_start(ledger: Ledger, run: str, lock: str, author: str, kept: str | None) -> None:
    if halt := ledger.halted():
        raise RunRefused(
            f"the kill switch is on: {halt.reason} ({halt.author}); `tierdrill resume --reason ...` turns it off"
        )
    try:
        ledger.lock(lock, run, me(), author)
        if kept and (by := holder_of_lab(ledger.locks(living=True), kept, run)):
            ledger.unlock(lock, run)
            raise RunRefused(f"lab {kept} is in use {by}")
    except LedgerError as error:
        raise RunRefused(str(error)) from error


def holder_of_lab(held: Sequence[tuple[str, str, int, str]], lab: str, run: str) -> str:
    """Who else uses a kept lab, by way of whichever environment; "" where nobody does."""
    for environment, other, pid, owner in held:
        if environment.partition("/")[2] == lab and other != run:
            return f"by run {other} (pid {pid}, {owner})"
    return ""
