"""The audit log: only ever added to, and a line that is not as it was written is named by its number."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tierdrill.history import audit_log
from tierdrill.history.audit_log import AUDIT_FILE, AuditEntry, AuditError, append, entries, verify

WRITER = """
import sys
from pathlib import Path
from tierdrill.history.audit_log import AuditEntry, append
for number in range(40):
    append(Path(sys.argv[1]), AuditEntry(sys.argv[2], "halt", str(number)))
"""


def filled(home: Path, count: int = 6) -> list[bytes]:
    for number in range(count):
        append(home, AuditEntry("ann", "halt", "home", f"reason {number}", before={"on": False}, after={"on": True}))
    return (home / AUDIT_FILE).read_bytes().splitlines(keepends=True)


def test_an_entry_comes_back_with_its_number_its_time_and_its_link(tmp_path: Path) -> None:
    filled(tmp_path, 2)
    first, second = entries(tmp_path)
    assert (first.n, first.previous, second.n, first.who, first.why) == (1, "", 2, "ann", "reason 0")
    assert len(second.previous) == 64 and 0 < first.at <= second.at
    assert second.after == {"on": True}
    check = verify(tmp_path)
    assert (check.entries, check.faults, check.torn) == (2, (), False)
    assert (tmp_path / AUDIT_FILE).stat().st_mode & 0o777 == 0o600


def test_a_home_without_a_log_has_no_entries(tmp_path: Path) -> None:
    assert list(entries(tmp_path)) == []
    assert verify(tmp_path).faults == ()
    assert list(tmp_path.iterdir()) == []


def changed(lines: list[bytes], number: int, old: bytes, new: bytes) -> list[bytes]:
    assert old in lines[number - 1]
    return [line.replace(old, new) if at == number else line for at, line in enumerate(lines, 1)]


@pytest.mark.parametrize("number", [1, 3, 6])
def test_a_changed_line_is_named(tmp_path: Path, number: int) -> None:
    lines = filled(tmp_path)
    (tmp_path / AUDIT_FILE).write_bytes(b"".join(changed(lines, number, b"ann", b"bob")))
    assert verify(tmp_path).faults == (f"line {number} was changed",)


def test_a_line_whose_link_was_changed_is_named(tmp_path: Path) -> None:
    lines = filled(tmp_path)
    link = next(iter(entries(tmp_path))).previous or audit_log.hashlib.sha256(lines[0]).hexdigest()
    (tmp_path / AUDIT_FILE).write_bytes(b"".join(changed(lines, 2, link.encode(), b"0" * 64)))
    assert verify(tmp_path).faults == ("line 2 was changed",)


@pytest.mark.parametrize("number", [1, 4, 6])
def test_a_removed_line_is_named(tmp_path: Path, number: int) -> None:
    lines = filled(tmp_path)
    (tmp_path / AUDIT_FILE).write_bytes(b"".join(lines[: number - 1] + lines[number:]))
    assert verify(tmp_path).faults == (f"line {number} is missing",)
    append(tmp_path, AuditEntry("eve", "halt", "home"))
    assert verify(tmp_path).faults == (f"line {number} is missing",)


def test_reordered_lines_are_named(tmp_path: Path) -> None:
    one, two, three, *rest = filled(tmp_path)
    (tmp_path / AUDIT_FILE).write_bytes(b"".join([one, three, two, *rest]))
    assert verify(tmp_path).faults == ("line 2 stands after line 3",)


def test_a_line_that_is_no_entry_is_named(tmp_path: Path) -> None:
    lines = filled(tmp_path)
    (tmp_path / AUDIT_FILE).write_bytes(b"".join([*lines[:2], b"nonsense\n", *lines[3:]]))
    assert verify(tmp_path).faults[0] == "line 3 is not an entry"
    assert [one.n for one in entries(tmp_path)] == [1, 2, 4, 5, 6]


def test_a_log_that_was_deleted_is_missed(tmp_path: Path) -> None:
    filled(tmp_path, 3)
    (tmp_path / AUDIT_FILE).unlink()
    assert verify(tmp_path).faults == ("lines 1 to 3 are missing",)
    assert append(tmp_path, AuditEntry("ann", "resume", "home")).n == 4
    assert verify(tmp_path).faults == ("lines 1 to 3 are missing",)


def test_a_torn_last_line_is_told_and_the_next_entry_removes_it(tmp_path: Path) -> None:
    lines = filled(tmp_path, 2)
    (tmp_path / AUDIT_FILE).write_bytes(b"".join(lines) + lines[1][:40])
    check = verify(tmp_path)
    assert check.torn and check.faults == () and check.entries == 2
    assert append(tmp_path, AuditEntry("bob", "resume", "home")).n == 4
    mended = list(entries(tmp_path))[2]
    assert (mended.what, mended.before) == ("log.mended", lines[1][:40].decode())
    assert verify(tmp_path).faults == () and not verify(tmp_path).torn


@pytest.mark.parametrize("step", ["write", "fsync"])
def test_a_full_disk_adds_nothing_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    filled(tmp_path, 2)
    before = (tmp_path / AUDIT_FILE).read_bytes()

    def no_room(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch, pytest.raises(AuditError, match="No space left on device; nothing was rec"):
        patch.setattr(os, step, no_room)
        append(tmp_path, AuditEntry("ann", "halt", "home"))
    assert (tmp_path / AUDIT_FILE).read_bytes() == before
    assert append(tmp_path, AuditEntry("ann", "halt", "home")).n == 3
    assert verify(tmp_path).faults == ()


def test_half_a_write_adds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path, 1)
    before = (tmp_path / AUDIT_FILE).read_bytes()
    write = os.write
    with monkeypatch.context() as patch, pytest.raises(AuditError, match="No space left"):
        patch.setattr(os, "write", lambda file, line: write(file, line[:20]))
        append(tmp_path, AuditEntry("ann", "halt", "home"))
    assert (tmp_path / AUDIT_FILE).read_bytes() == before


def test_writers_at_once_make_one_chain(tmp_path: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), who]) for who in ("ann", "bob")]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    check = verify(tmp_path)
    assert (check.entries, check.faults) == (80, ())
    assert [one.n for one in entries(tmp_path)] == list(range(1, 81))


def test_a_log_that_is_always_busy_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_log, "LOCK_WAIT_S", 0.0)
    with audit_log._writing(tmp_path), pytest.raises(AuditError, match="in use by another process"):
        append(tmp_path, AuditEntry("ann", "halt", "home"))


def test_what_is_too_long_or_unknown_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match="too long"):
        append(tmp_path, AuditEntry("ann", "halt", "home", "x" * audit_log.LINE_MAX))
    with pytest.raises(ValueError, match="no action"):
        append(tmp_path, AuditEntry("ann", "dance", "home"))
    assert verify(tmp_path).entries == 0
