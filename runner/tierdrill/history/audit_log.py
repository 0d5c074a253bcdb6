"""The audit log of a home: who did or changed what, when and why, in a file that is only ever added to.

`audit.jsonl` has an entry a line, each with the SHA-256 of the line before it; `audit.head` has the number and the
SHA-256 of the last, so that lines missing at the end are found too. The log is no signature: who can write both files
can write any log; keep a copy of the last digest elsewhere.
"""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tierdrill.process.safe_files import take_lock
from tierdrill.text import Explained, read_json, valid_all

AUDIT_FILE, _HEAD, _LOCK = "audit.jsonl", "audit.head", "audit.lock"
LOCK_WAIT_S = 10.0
LINE_MAX = 64 * 1024
"""So many bytes a line may have."""
_HEAD_SIZE = 128


class AuditError(Explained):
    """The log cannot be read or written; nothing was added."""


@dataclass(frozen=True)
class AuditEntry:
    """What was done: `what` is one of `ACTIONS`, `about` its object (a run, a tier), `before` and `after` the states.

    `n` (from 1), `at` (Unix seconds) and `previous` (SHA-256 of the line before) are set when it is appended.
    """

    who: str
    what: str
    about: str
    why: str = ""
    before: Any = None
    after: Any = None
    at: float = 0.0
    n: int = 0
    previous: str = ""


ACTIONS = {
    "drill.started": "a drill, or an exercise, began",
    "drill.judged": "a run ended with a verdict",
    "drill.stopped": "somebody asked a run to stop",
    "halt": "the kill switch was turned on",
    "resume": "the kill switch was turned off",
    "override.granted": "one rule of a tier was lifted for a while",
    "override.revoked": "the rule holds again before that while was over",
    "policy.changed": "a run used other tiers, workloads or environment than the run before it",
    "policy.approved": "somebody with the right to approved a change of a tier",
    "maintenance.declared": "somebody with the right to declared a maintenance of tiers",
    "access.granted": "a token for the dashboard was made",
    "access.revoked": "a token for the dashboard was revoked",
    "log.mended": "an incomplete last line, of a writer that died, was removed",
}


@dataclass(frozen=True)
class AuditCheck:
    """What a check of the whole log found: `last` is the digest of the last entry, `faults` name lines by number.

    `torn`: the last line is incomplete; the next entry removes it.
    """

    entries: int
    last: str
    faults: tuple[str, ...]
    torn: bool = False


def append(home: Path, entry: AuditEntry) -> AuditEntry:
    """Add an entry, on the disk when this returns; as it was written. AuditError where it cannot be, and is not."""
    if entry.what not in ACTIONS:
        raise ValueError(f"no action {entry.what!r} in the audit log")
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _writing(home):
            return _append(home, entry)
    except OSError as error:
        raise AuditError(f"{error.filename or home / AUDIT_FILE}: {error.strerror}; nothing was recorded") from error


def entries(home: Path, kind: str = "") -> Iterator[AuditEntry]:
    """Every entry whose action begins so, oldest first. Lines that are none are passed over: `verify` names them."""
    mark = f'"what": "{kind}'.encode()
    for line in _lines(home / AUDIT_FILE):
        # Reading the JSON of all the others would take most of the time.
        if mark in line and line.endswith(b"\n"):
            with contextlib.suppress(ValueError, TypeError):
                entry = AuditEntry(**read_json(line))
                if entry.what.startswith(kind):
                    yield entry


def verify(home: Path) -> AuditCheck:
    """Check the chain from the first line to the last; every line that is not as it was written is named."""
    faults, gaps, broken = list[str](), list[tuple[int, int]](), list[int]()
    previous, last, torn = "", 0, False
    for line in _lines(home / AUDIT_FILE):
        if not line.endswith(b"\n"):
            torn = True
            break
        number, chained = _number_and_chain(line)
        if number is not None and number <= last:
            faults.append(f"line {number} stands after line {last}")
            gaps = [gap for gap in gaps if gap != (number, number)]
            continue
        if number is None:
            faults.append(f"line {last + 1} is not an entry")
        elif number > last + 1:
            gaps.append((last + 1, number - 1))
        elif chained != previous:
            broken.append(last)
        previous, last = hashlib.sha256(line).hexdigest(), number or last + 1
    head = _head(home)
    if head is None and last:
        faults.append(f"{_HEAD} is missing, so that lines after {last} may be missing, too")
    elif head is not None and head[0] > last:
        gaps.append((last + 1, head[0]))
    elif head is not None and head[0] == last and head[1] != previous:
        broken.append(last)
    faults += [f"line {one} is missing" if one == end else f"lines {one} to {end} are missing" for one, end in gaps]
    return AuditCheck(last, previous, (*faults, *(f"line {number} was changed" for number in _changed(broken))), torn)


def _changed(broken: list[int]) -> list[int]:
    """Which lines were changed, from the lines after which the chain is broken.

    A line breaks it behind itself, and before itself as well where its own link was changed.
    """
    return [at or 1 for at in broken if at - 1 in broken or at + 1 not in broken]


def _number_and_chain(line: bytes) -> tuple[int | None, str]:
    try:
        found = json.loads(line)
        return int(found["n"]), str(found["previous"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None, ""


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield from file
    except FileNotFoundError:
        return
    except OSError as error:
        raise AuditError(f"{path}: {error.strerror}") from error


@contextmanager
def _writing(home: Path) -> Iterator[None]:
    lock = take_lock(home / _LOCK, LOCK_WAIT_S)
    if lock is None:
        raise AuditError(f"{home / AUDIT_FILE}: in use by another process for over {LOCK_WAIT_S:g} s; try again")
    try:
        yield
    finally:
        os.close(lock)


def _append(home: Path, entry: AuditEntry) -> AuditEntry:
    file = os.open(home / AUDIT_FILE, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        last, torn = _end_of(file)
        head = _head(home)
        number = max(_number_and_chain(last)[0] or 0, head[0] if head else 0)
        previous = hashlib.sha256(last).hexdigest() if last else ""
        if torn:
            os.ftruncate(file, os.fstat(file).st_size - len(torn))
            told = torn[:1000].decode("utf-8", "replace")
            mended = AuditEntry(entry.who, "log.mended", AUDIT_FILE, "its writer died", before=told)
            mended, previous = _write(home, file, mended, number + 1, previous)
            number = mended.n
        return _write(home, file, entry, number + 1, previous)[0]
    finally:
        os.close(file)


def _end_of(file: int) -> tuple[bytes, bytes]:
    """The last whole line, and what stands behind it: nothing, or a line whose writer died."""
    size = os.fstat(file).st_size
    tail = b""
    for length in (4096, 2 * LINE_MAX + 2):
        if tail.count(b"\n") < 2:
            start = max(0, size - length)
            tail = os.pread(file, size - start, start)
    whole, newline, torn = tail.rpartition(b"\n")
    return (whole.rpartition(b"\n")[2] + newline if newline else b""), torn


def _write(home: Path, file: int, entry: AuditEntry, number: int, previous: str) -> tuple[AuditEntry, str]:
    """Write one line, all of it or nothing; the entry as it stands there, and the line's digest."""
    written = replace(entry, at=round(time.time(), 3), n=number, previous=previous)
    line = json.dumps(valid_all(asdict(written)), sort_keys=True, ensure_ascii=False, allow_nan=False).encode() + b"\n"
    if len(line) > LINE_MAX:
        raise AuditError(f"an entry of {len(line)} bytes is too long for the audit log; nothing was recorded")
    size = os.fstat(file).st_size
    try:
        if os.write(file, line) != len(line):
            raise OSError(28, os.strerror(28))
        os.fsync(file)
    except OSError:
        os.ftruncate(file, size)
        raise
    digest = hashlib.sha256(line).hexdigest()
    _keep_head(home, number, digest)
    return written, digest


def _head(home: Path) -> tuple[int, str] | None:
    try:
        number, digest = (home / _HEAD).read_text("ascii").split()
        return int(number), digest
    except (OSError, ValueError):
        return None


def _keep_head(home: Path, number: int, digest: str) -> None:
    """In place, so that it needs no room; one that lags behind is caught up by the next entry."""
    with contextlib.suppress(OSError):
        file = os.open(home / _HEAD, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.pwrite(file, f"{number} {digest}".encode().ljust(_HEAD_SIZE), 0)
        finally:
            os.close(file)
