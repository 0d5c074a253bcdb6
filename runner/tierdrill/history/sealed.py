"""Sealing: text made unreadable to whoever looks, and readable to whoever holds the key.

For exercises: what was injected must be on the disk, or nobody could undo it after a crash, and must not be read there
by the trainee before the debrief. The key lies in a file of the same user (mode 0600), so that the reaper and
`tierdrill recover` find it. So this protects from looking (`grep`, `cat`, an editor), not from somebody who sets out to
break it.

ChaCha20-Poly1305: a text that was changed, cut or sealed with another key is refused and never half read. The library
is loaded with a key, not with this module: most runs seal nothing.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any, Protocol

from tierdrill.history.events import Event
from tierdrill.history.history_store import HistoryError, HistoryStore

KEY_BYTES = 32
NONCE_BYTES = 12


class SealBroken(ValueError):
    """The sealed text is damaged, or the key is not its own; or the key cannot be read."""


class Seal:
    """Seals and opens with one key."""

    def __init__(self, key: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

        if len(key) != KEY_BYTES:
            raise SealBroken(f"got a key of {len(key)} bytes, expected {KEY_BYTES} bytes")
        self._cipher = ChaCha20Poly1305(key)

    def close(self, text: str) -> str:
        """The text sealed, as one word of base64; never the same twice."""
        nonce = os.urandom(NONCE_BYTES)
        return base64.b64encode(nonce + self._cipher.encrypt(nonce, text.encode(), None)).decode()

    def open(self, sealed: str) -> str:
        """The text again; SealBroken if it is not exactly what was sealed with this key."""
        from cryptography.exceptions import InvalidTag

        try:
            raw = base64.b64decode(sealed, validate=True)
            return self._cipher.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], None).decode()
        except (ValueError, InvalidTag) as error:
            raise SealBroken("the sealed text is damaged, or sealed with another key") from error


def make_key(path: Path) -> Seal:
    """A new key in a new private file; OSError if it cannot be written."""
    key = os.urandom(KEY_BYTES)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    return Seal(key)


def read_key(path: Path) -> Seal:
    """The seal of a key file; SealBroken where there is none that can be read."""
    try:
        return Seal(path.read_bytes())
    except OSError as error:
        raise SealBroken(f"the key cannot be read: {path}: {error.strerror}") from error


KEY_FILE = "key"
EVENTS_FILE = "events"
EXERCISE = "exercise"
"""What the store calls such a run: its drill and its variant. The scenario's name is told at the end."""


class EventSink(Protocol):
    """Where a run's events go."""

    def append(self, run: str, event: Event) -> Event:
        """Store it; HistoryError if that cannot be done."""
        ...


def exercise_folder(home: Path, exercise: str) -> Path:
    """Where an exercise keeps its key, its sealed history and its socket while it lives."""
    return home / "exercises" / exercise


def is_sealed(home: Path, run: str) -> bool:
    """Whether that run is an exercise whose history has not been opened yet."""
    return (exercise_folder(home, run) / EVENTS_FILE).exists()


class SealedHistory:
    """The sealed history of one exercise; an event is with the operating system before `append` returns."""

    def __init__(self, folder: Path, seal: Seal) -> None:
        self._path = folder / EVENTS_FILE
        self.seal = seal
        self._count = 0

    @staticmethod
    def create(home: Path, exercise: str) -> SealedHistory:
        """The folder, the key and an empty history of a new exercise; HistoryError if they cannot be written."""
        folder = exercise_folder(home, exercise)
        try:
            folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            folder.mkdir(mode=0o700)
            history = SealedHistory(folder, make_key(folder / KEY_FILE))
            os.close(os.open(folder / EVENTS_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except OSError as error:
            raise HistoryError(f"{folder}: {error.strerror}") from error
        return history

    @staticmethod
    def find(home: Path, exercise: str) -> SealedHistory:
        """That of an exercise that has begun; HistoryError where there is none."""
        folder = exercise_folder(home, exercise)
        try:
            return SealedHistory(folder, read_key(folder / KEY_FILE))
        except SealBroken as error:
            raise HistoryError(f"{folder}: {error}") from error

    def append(self, run: str, event: Event) -> Event:
        """Add an event; its sequence is counted from here and given anew when the history is opened."""
        # The break comes first: what follows a line that was cut must not be lost with it.
        line = "\n" + self.seal.close(event.to_line())
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND)
            try:
                if os.write(descriptor, line.encode()) != len(line):
                    raise HistoryError(f"{self._path}: no room for an event")
            finally:
                os.close(descriptor)
        except OSError as error:
            raise HistoryError(f"{self._path}: {error.strerror}") from error
        self._count += 1
        return Event(event.at, event.kind, event.source, event.data, self._count)

    def events(self) -> list[Event]:
        """All events in order. A line that a crash or a full disk cut is left out; nothing else may be missing."""
        try:
            lines = self._path.read_text(encoding="ascii").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise HistoryError(f"{self._path}: {error}") from error
        found: list[Event] = []
        for line in filter(None, lines):
            with contextlib.suppress(SealBroken, ValueError):
                found.append(Event.from_line(self.seal.open(line)))
        return found


def open_seal(home: Path, exercise: str) -> list[Event]:
    """Move an exercise's events into the store, in clear, and remove its folder; safe to repeat.

    HistoryError if they cannot be read or stored; the sealed history stays then.
    """
    events = SealedHistory.find(home, exercise).events()
    store = HistoryStore(home)
    try:
        if not store.events(exercise):
            store.append_many(exercise, events)
        opened = store.events(exercise)
    finally:
        store.close()
    shutil.rmtree(exercise_folder(home, exercise), ignore_errors=True)
    return opened


def close_exercise(home: Path, exercise: str) -> None:
    """Close the history of an exercise whose host has died: open its seal, and say in the store what became of it.

    Harmless for one that its host has opened already; what the store says of it is left then.
    """
    if is_sealed(home, exercise):
        open_seal(home, exercise)
    store = HistoryStore(home)
    try:
        record = store.find(exercise)
        if record is not None and record.status is None:
            store.finish(exercise, time.time(), "aborted", "the exercise's host died; everything was undone after it")
    finally:
        store.close()


def is_exercise(home: Path, run: str) -> bool:
    """Whether that run is an exercise, sealed or not."""
    store = HistoryStore(home)
    try:
        record = store.find(run)
        return record is not None and record.variant == EXERCISE
    finally:
        store.close()


def append_to_run(home: Path, run: str, event: Event) -> None:
    """Add to the history of a run, sealed where it is an exercise's; nothing for a run that is unknown or closed."""
    if is_sealed(home, run):
        SealedHistory.find(home, run).append(run, event)
        return
    store = HistoryStore(home)
    try:
        record = store.find(run)
        if record is not None and record.run == run and record.status is None:
            store.append(run, event)
    finally:
        store.close()


def sealed_order(home: Path, exercise: str, seal: Seal, order: dict[str, Any]) -> dict[str, Any]:
    """A fault's order as an exercise's ledger entry holds it: sealed, and where the key is."""
    key = exercise_folder(home, exercise) / KEY_FILE
    return {"sealed": seal.close(json.dumps(order, sort_keys=True)), "key": str(key)}


def open_order(order: dict[str, Any]) -> dict[str, Any]:
    """The order of a ledger entry, opened where it is sealed; SealBroken where that cannot be."""
    if "sealed" not in order:
        return order
    found: dict[str, Any] = json.loads(read_key(Path(order["key"])).open(order["sealed"]))
    return found
