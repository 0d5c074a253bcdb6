"""What stands, on disk: each fault before it is applied, and that it is over. A restart reads it and undoes."""

from __future__ import annotations

import json
import os
from pathlib import Path

from fault import Record


def standing(text: str) -> dict[str, Record]:
    """The faults that stand by a journal's text. A line that is cut off was not on disk in time: nothing came of it."""
    found: dict[str, Record] = {}
    for line in text.split("\n")[:-1]:
        try:
            entry = json.loads(line)
            if "over" in entry:
                found.pop(entry["over"], None)
            else:
                record = entry["intent"]
                found[record["fault"]] = record
        except (ValueError, TypeError, KeyError):
            continue
    return found


class Journal:
    """A journal's file, which is made where it is missing. OSError where it cannot be written."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        text = path.read_text(errors="replace")
        self._standing = standing(text)
        if text and not text.endswith("\n"):
            os.write(self._fd, b"\n")
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)

    @property
    def faults(self) -> dict[str, Record]:
        """What stands."""
        return dict(self._standing)

    def intend(self, record: Record) -> None:
        """It is on disk when this returns."""
        self._write({"intent": record})
        self._standing[record["fault"]] = record

    def over(self, fault: str) -> None:
        """It is undone; where nothing stands any more, the file begins anew."""
        if self._standing.pop(fault, None) is None:
            return
        if self._standing:
            self._write({"over": fault})
        else:
            os.ftruncate(self._fd, 0)
            os.fsync(self._fd)

    def _write(self, entry: Record) -> None:
        text = json.dumps(entry).encode() + b"\n"
        if os.write(self._fd, text) != len(text):
            raise OSError("the journal's disk is full")
        os.fsync(self._fd)

    def close(self) -> None:
        os.close(self._fd)
