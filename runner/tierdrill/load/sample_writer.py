"""What the generator writes: samples and self-reports, as JSON lines, one file per process.

A sample is a compact JSON array in the order of `SAMPLE_FIELDS`; a self-report is a JSON object. Lines are kept in
memory and written together (the owner calls `flush` at least every 100 ms), each write ending at a line's end.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal

Outcome = Literal["ok", "error", "rejected", "timeout", "dropped", "unfinished"]
STATUS_NO_RESPONSE = 0
STATUS_DROPPED = -1
_LINES_HELD_MAX = 2000


@dataclass(frozen=True, slots=True)
class Sample:
    """One arrival and what became of it. All times but `due` are seconds counted from the moment the request was due.

    due: Unix time. lag_s: until the request was being sent. latency_s: until the answer was complete. ttft_s: until the
    first piece of a streamed answer. stall_s: the longest wait for a further piece of it, null with fewer than two.
    status: HTTP's; 0 without a response, -1 for an arrival that was not sent because all connections were in use.
    outcome `unfinished`: the generator ended first, so that its latency is at least so long. integrity: the answer was
    the expected text; null where there is nothing to compare. tier is the one planned; served_tier, model and attempts
    are what the gateway says of who answered, and after how many attempts. gateway: index of the target that answered,
    or what the response calls the gateway.
    sequence: the arrival's place among those of its stream, from 0.
    """

    stream: str
    tier: str
    due: float
    lag_s: float
    latency_s: float
    ttft_s: float | None
    status: int
    outcome: Outcome
    reason: str | None
    replica: str | None
    gateway: int | str | None
    integrity: bool | None
    queue_wait_ms: float | None
    served_tier: str | None
    model: str | None
    attempts: int | None
    stall_s: float | None
    sequence: int

    def to_line(self) -> str:
        """The sample as a JSON array; microseconds are kept, more is noise."""
        values = [round(value, 6) if type(value) is float else value for value in _VALUES(self)]
        return json.dumps(values, separators=(",", ":"))

    def row(self) -> dict[str, Any]:
        """The sample as a row of a history's `load.samples` event: all times in seconds."""
        row = dict(zip(_ROW_FIELDS, _VALUES(self), strict=True))
        row["queue_wait"] = None if self.queue_wait_ms is None else self.queue_wait_ms / 1000.0
        return row

    @staticmethod
    def from_line(line: bytes | str) -> Sample:
        """Back from `to_line`; raises ValueError on anything else."""
        values = json.loads(line)
        if not isinstance(values, list) or len(values) != len(SAMPLE_FIELDS):
            raise ValueError(f"not a sample: {line[:80]!r}")
        return Sample(*values)


SAMPLE_FIELDS = tuple(field.name for field in fields(Sample))
_ROW_FIELDS = tuple(name.removesuffix("_s").removesuffix("_ms") for name in SAMPLE_FIELDS)
_VALUES = attrgetter(*SAMPLE_FIELDS)


def file_of(stem: str, pid: int) -> Path:
    """The file that process `pid` writes under a plan's `sample_path` or `status_path`."""
    path = Path(stem)
    return path.with_name(f"{path.name}.{pid}.jsonl")


class Recorder:
    """The buffered sink of one process. No locks: greenlets switch only where they wait, and nothing here waits."""

    def __init__(self, sample_path: str, status_path: str) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._samples: list[Sample] = []
        self._reports: list[str] = []
        self._sample_file = os.open(file_of(sample_path, os.getpid()), flags, 0o600)
        self._status_file = os.open(file_of(status_path, os.getpid()), flags, 0o600)
        self._closed = False

    def sample(self, sample: Sample) -> None:
        """Take a sample; it is on disk after the next flush."""
        if self._closed:
            return
        self._samples.append(sample)
        if len(self._samples) >= _LINES_HELD_MAX:
            self.flush()

    def report(self, report: Mapping[str, Any]) -> None:
        """Take a self-report; it is on disk after the next flush."""
        if not self._closed:
            self._reports.append(json.dumps(report, separators=(",", ":")))

    def flush(self) -> None:
        samples, self._samples = self._samples, []
        reports, self._reports = self._reports, []
        if samples:
            _write(self._sample_file, "".join([sample.to_line() + "\n" for sample in samples]).encode())
        if reports:
            _write(self._status_file, "".join([report + "\n" for report in reports]).encode())

    def close(self) -> None:
        """Write what is held and let go of the files; later samples are not taken."""
        if self._closed:
            return
        self.flush()
        self._closed = True
        os.close(self._sample_file)
        os.close(self._status_file)


def _write(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]
