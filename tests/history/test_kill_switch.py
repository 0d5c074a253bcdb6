"""The kill switch and the request to stop: they are thrown on a full disk and with a broken ledger, too."""

from __future__ import annotations

import errno
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tierdrill.history.database_file import connect
from tierdrill.history.kill_switch import halted, throw_kill_switch
from tierdrill.history.ledger import Ledger, LedgerError
from tierdrill.history.switch_file import AUTHOR_MAX, REASON_MAX, SIZE, Halt, Switch, kill_switch, stop_switch
from tierdrill.text import visible

ASKED = Halt(1.5, "ann", "incident 7")


def no_room(*_: object) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_switch_is_off_until_thrown_and_again_when_released(tmp_path: Path) -> None:
    switch = Switch(tmp_path / "folder" / "halt")
    assert switch.thrown() is None
    switch.prepare()
    assert switch.thrown() is None
    assert switch.path.stat().st_size == SIZE
    assert switch.path.stat().st_mode & 0o777 == 0o600
    switch.throw(ASKED)
    switch.prepare()
    assert switch.thrown() == ASKED
    switch.release()
    assert switch.thrown() is None
    assert switch.path.stat().st_size == SIZE


def test_what_is_said_fits_whatever_it_is(tmp_path: Path) -> None:
    switch = Switch(tmp_path / "halt")
    for letter in ('"', "\x01", "\U0001f525", "\udce9"):
        switch.throw(Halt(1.0, letter * 10_000, letter * 10_000))
        asked = switch.thrown()
        assert asked is not None
        assert switch.path.stat().st_size == SIZE
        assert asked.author == visible(letter * AUTHOR_MAX)[:AUTHOR_MAX]
        assert asked.reason == visible(letter * REASON_MAX)[:REASON_MAX]


def test_a_write_that_finds_no_room_throws_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    switch = Switch(tmp_path / "halt")
    switch.prepare()
    monkeypatch.setattr(os, "pwrite", no_room)
    switch.throw(ASKED)
    asked = switch.thrown()
    assert asked is not None and "no room" in asked.reason
    switch.release()
    assert switch.thrown() is None


def test_a_prepared_switch_that_finds_no_room_is_not_thrown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", no_room)
    switch = Switch(tmp_path / "halt")
    switch.prepare()
    assert switch.thrown() is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"o", b"{", b"[]", b'{"at": "x"}', b"\xff" * 10])
def test_a_torn_switch_is_thrown(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "halt").write_bytes(content)
    assert Switch(tmp_path / "halt").thrown() is not None


def test_a_switch_that_cannot_be_read_is_thrown(tmp_path: Path) -> None:
    (tmp_path / "halt").mkdir()
    asked = Switch(tmp_path / "halt").thrown()
    assert asked is not None and "cannot be read" in asked.reason


def test_a_ledger_prepares_the_kill_switch_and_each_run_its_own(tmp_path: Path) -> None:
    from tierdrill.process.identity import me

    with closing(Ledger(tmp_path)) as ledger:
        assert kill_switch(tmp_path).path.stat().st_size == SIZE
        ledger.lock("lab", "r1", me(), "ann")
        assert stop_switch(tmp_path, "r1").path.stat().st_size == SIZE
        assert ledger.stop_asked("r1") is None
        ledger.ask_stop("r1", "ann", "enough")
        asked = ledger.stop_asked("r1")
        assert asked is not None and (asked.author, asked.reason) == ("ann", "enough")
        ledger.unlock("lab", "r1")
    assert not stop_switch(tmp_path, "r1").path.exists()


def full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No room for a database: SQLite says so where it would begin to write."""

    def connect(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(sqlite3, "connect", connect)


def locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody holds the write lock and does not let go."""
    holder = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr("tierdrill.history.database_file.connect", lambda path, *_: connect(path, 0.01))
    monkeypatch.setattr("tests.history.test_kill_switch.HELD", [holder], raising=False)


def corrupt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is no database any more."""
    for path in tmp_path.glob("ledger.db-*"):
        path.unlink()
    (tmp_path / "ledger.db").write_bytes(b"no database" * 400)


@pytest.mark.parametrize("trouble", [full, locked, corrupt])
def test_the_kill_switch_is_thrown_whatever_the_ledger_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: object
) -> None:
    with closing(Ledger(tmp_path)) as runner:
        if trouble is corrupt:
            runner.close()
        trouble(tmp_path, monkeypatch)  # type: ignore[operator]
        assert throw_kill_switch(tmp_path, "ann", "incident 7") != ""
        assert kill_switch(tmp_path).thrown() is not None
        if trouble is not corrupt:
            # A run that has it open already, and one that would begin.
            assert runner.halted() is not None
            with pytest.raises(LedgerError, match="incident 7"):
                runner.confirm("f1")


def test_the_kill_switch_of_a_home_without_a_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert halted(tmp_path / "none") is None
    assert not (tmp_path / "none").exists()
    with monkeypatch.context() as patched:
        full(tmp_path, patched)
        throw_kill_switch(tmp_path, "ann", "incident 7")
    asked = halted(tmp_path)
    assert asked is not None and asked.reason == "incident 7"
    with closing(Ledger(tmp_path)) as ledger:
        assert ledger.resume("ann", "over")
        assert not ledger.resume("ann", "over")
    assert halted(tmp_path) is None


def test_a_halt_that_can_be_written_nowhere_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    with pytest.raises(LedgerError, match="home"):
        throw_kill_switch(tmp_path / "home", "ann", "incident 7")


def test_a_halt_of_an_earlier_version_holds(tmp_path: Path) -> None:
    """It had the ledger's table alone."""
    with closing(Ledger(tmp_path)) as ledger:
        ledger._database.execute("INSERT INTO halts VALUES (1.0, 'ann', 'incident 7', NULL, NULL, NULL)")
        assert ledger.halted() == Halt(1.0, "ann", "incident 7")
        assert ledger.resume("ann", "over")
        assert ledger.halted() is None
