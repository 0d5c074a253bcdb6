"""Opening the home's databases while somebody else is at them, and writing all or nothing."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tierdrill.history.database_file import bring_up_to_date, connect, execute_all, immediate
from tierdrill.history.history_store import HistoryStore
from tierdrill.history.ledger import Ledger
from tierdrill.schedule.notify.outbox_store import MessageStore
from tierdrill.schedule.rollout.rollout_store import RolloutStore
from tierdrill.schedule.store.slot_store import ScheduleStore
from tierdrill.training.results.progress import ProgressStore

STORES = {
    "history.db": HistoryStore,
    "ledger.db": Ledger,
    "outbox.db": MessageStore,
    "rollout.db": RolloutStore,
    "schedule.db": ScheduleStore,
    "training.db": ProgressStore,
}


@pytest.mark.parametrize("name", STORES)
def test_a_store_that_somebody_else_is_just_making_is_waited_for(tmp_path: Path, name: str) -> None:
    # SQLite itself answers "locked" at once here: a new file that another process holds the write lock of.
    opened: list[Any] = []
    begun = threading.Event()

    def open_it() -> None:
        begun.set()
        with closing(STORES[name](tmp_path)):  # type: ignore[operator]
            opened.append(name)

    thread = threading.Thread(target=open_it)
    with closing(sqlite3.connect(tmp_path / name, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        thread.start()
        begun.wait()
        thread.join(0.2)
        assert opened == []
        other.execute("ROLLBACK")
        thread.join()
    assert opened == [name]


def test_a_file_that_stays_locked_is_not_waited_for_without_end(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            connect(tmp_path / "a.db", busy_s=0.1)


def test_what_is_no_database_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(b"something else altogether" * 100)
    with pytest.raises(sqlite3.DatabaseError, match="not a database"):
        connect(tmp_path / "a.db", busy_s=3600.0)


def tables(database: sqlite3.Connection) -> list[str]:
    return [row[0] for row in database.execute("SELECT name FROM sqlite_schema").fetchall()]


def test_a_file_that_cannot_be_brought_up_to_date_is_as_it_was(tmp_path: Path) -> None:
    def half(database: sqlite3.Connection, version: int) -> None:
        execute_all(database, "CREATE TABLE a (x); CREATE TABLE b (x); CREATE TABLE a (x);")

    with closing(connect(tmp_path / "a.db")) as database:
        with pytest.raises(sqlite3.OperationalError, match="already exists"):
            bring_up_to_date(database, 2, half)
        assert tables(database) == [] and database.execute("PRAGMA user_version").fetchone() == (0,)


def test_a_file_is_brought_up_to_date_once_and_a_later_one_left_alone(tmp_path: Path) -> None:
    changed = []

    def change(database: sqlite3.Connection, version: int) -> None:
        changed.append(version)
        database.execute(f"CREATE TABLE t{version} (x)")

    def open_it() -> None:
        with closing(connect(tmp_path / "a.db")) as database:
            bring_up_to_date(database, 2, change)
            assert database.execute("PRAGMA user_version").fetchone() == (2,)

    threads = [threading.Thread(target=open_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with closing(connect(tmp_path / "a.db")) as database:
        with pytest.raises(sqlite3.OperationalError, match=r"newer tierdrill \(schema 2; known are up to 1\)"):
            bring_up_to_date(database, 1, change)
        assert tables(database) == ["t0"] and database.execute("PRAGMA user_version").fetchone() == (2,)
    assert changed == [0]


def rows(database: sqlite3.Connection) -> int:
    return int(database.execute("SELECT count(*) FROM t").fetchone()[0])


@pytest.mark.parametrize("trouble", [RuntimeError, KeyboardInterrupt, sqlite3.OperationalError])
def test_a_transaction_that_raises_leaves_nothing(tmp_path: Path, trouble: Callable[[], BaseException]) -> None:
    with closing(connect(tmp_path / "a.db")) as database:
        database.execute("CREATE TABLE t (a)")
        with pytest.raises(trouble), immediate(database):  # type: ignore[call-overload]
            database.execute("INSERT INTO t VALUES (1)")
            raise trouble()
        assert rows(database) == 0
        with immediate(database):
            database.execute("INSERT INTO t VALUES (1)")
        assert rows(database) == 1


def test_a_second_connection_of_the_process_takes_no_lock_from_the_first(tmp_path: Path) -> None:
    """Closing a file drops all POSIX locks of its process. Another process then took itself for the last one, and
    deleted the log in which the first connection went on to write.
    """
    path = tmp_path / "a.db"
    look = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('SELECT count(*) FROM t').fetchone()[0])"

    def seen_by_another() -> str:
        return subprocess.run(
            [sys.executable, "-c", look, str(path)], capture_output=True, text=True, check=True
        ).stdout.strip()

    first = connect(path)
    first.execute("CREATE TABLE t (x)")
    connect(path).close()
    assert seen_by_another() == "0"
    first.execute("INSERT INTO t VALUES (1)")
    assert seen_by_another() == "1"
    first.close()
