"""The events a run writes: one envelope for every kind.

History is the only truth about a run. Times are Unix seconds (float, the machine's wall clock, taken once per event).
`source` is the part that saw or did it. `data` is plain JSON; what it says by kind is in `tierdrill.history.kinds`.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tierdrill.history.hash_chain import with_digest
from tierdrill.history.kinds import payload_of
from tierdrill.history.payload import Payload, envelope_problem
from tierdrill.text import read_json, valid_all

SCHEMA_VERSION = 3
ALLOWED = "expected one JSON event per line"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. `sequence` is its place in the run's history, from 1; 0 before it is stored.

    `digest` links it to those before (see tierdrill.history.hash_chain); "" before it is stored.
    """

    at: float
    kind: str
    source: str
    data: dict[str, Any] = field(default_factory=dict)
    sequence: int = 0
    digest: str = field(default="", compare=False)
    _payload: Payload | None = field(default=None, init=False, compare=False, repr=False)

    @property
    def payload(self) -> Payload:
        if self._payload is None:
            object.__setattr__(self, "_payload", payload_of(self.kind, self.data))
        assert self._payload is not None
        return self._payload

    def to_line(self) -> str:
        """One JSON line, keys sorted so that equal histories are equal bytes; the digest, if any, comes last."""
        line = line_of(self, data_text(self.data), self.sequence)
        return with_digest(line, self.digest) if self.digest else line

    @staticmethod
    def from_line(line: str) -> Event:
        """Back from `to_line`; ValueError on anything else, with the field that is wrong."""
        try:
            record = read_json(line, parse_constant=_finite, parse_float=_finite)
        except (ValueError, OverflowError) as error:
            raise ValueError(f"not a history event: {line[:80]!r} ({error}), {ALLOWED}") from error
        if not isinstance(record, dict):
            raise ValueError(f"not a history event: {line[:80]!r} (a JSON {type(record).__name__}), {ALLOWED}")
        if problem := envelope_problem(record):
            raise ValueError(problem)
        return Event(
            at=float(record["at"]),
            kind=record["kind"],
            source=record["source"],
            data=texts_shared(record["data"]),
            sequence=record["sequence"],
            digest=str(record.get("digest", "")),
        )


def texts_shared(data: dict[str, Any]) -> dict[str, Any]:
    """The data, equal texts (or fractions) of a column as one object: a million samples have few, in much less room."""
    columns = data.get("columns")
    if isinstance(columns, dict):
        for name, column in columns.items():
            for kind in (str, float):
                if isinstance(column, list) and any(isinstance(one, kind) for one in column[:100]):
                    # By what is written: 0.0 and -0.0 are equal, and so are 1 and true.
                    known: dict[Any, Any] = {}
                    columns[name] = [
                        known.setdefault(one, one) if one and isinstance(one, kind) else one for one in column
                    ]
    return data


def data_text(data: Mapping[str, Any]) -> str:
    """An event's data as JSON, always the same for the same; what is no valid text in it is made so."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
    if "\\ud" in text:
        text = json.dumps(valid_all(data), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text


def line_of(event: Event, data: str, sequence: int) -> str:
    """An event's line, made of its data as JSON, without a digest."""
    at, kind, source = json.dumps(float(event.at), allow_nan=False), json.dumps(event.kind), json.dumps(event.source)
    return f'{{"at":{at},"data":{data},"kind":{kind},"sequence":{sequence},"source":{source}}}'


def _finite(written: Any) -> float:
    number = float(written)
    if not math.isfinite(number):
        raise ValueError(f"got {written}; numbers are finite")
    return number


def event(said: Payload, source: str, at: float | None = None) -> Event:
    """An event of now, or of `at` (Unix seconds)."""
    return Event(time.time() if at is None else at, said.KIND, source, said.data())


Emit = Callable[[Event], object]
P = TypeVar("P", bound=Payload)


def each(events: Iterable[Event], kind: type[P]) -> list[tuple[Event, P]]:
    """The events of a kind, or of a group of kinds, with what they say."""
    return [(one, said) for one in events if isinstance(said := one.payload, kind)]
