"""Load that was recorded, as requests to replay: a run's samples, or lines of a JSON-lines or CSV file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from pydantic_core import from_json

from tierdrill.did_you_mean import nearest
from tierdrill.documents.models.drill import Drill, Stream
from tierdrill.documents.problems import Problem, SpecError, shown
from tierdrill.documents.request_rules import RequestFacts, minute_of_day
from tierdrill.history.events import Event, each
from tierdrill.history.kinds.run_kinds import LoadSamples
from tierdrill.text import either, plural

LINE_MAX = 65536
FACTS = tuple(one.name for one in fields(RequestFacts) if one.name != "minute")
COLUMNS = ("at", *FACTS, "held")
"""What a line may say: `at` (Unix seconds or ISO time), what routing looks at, and the seconds it held a slot."""


@dataclass
class RecordedLoad:
    """Requests in the order they were recorded: when (Unix seconds), what (an index into `kinds`), and for how long
    each held a slot (None: as the workloads say). Most of a million requests are of few kinds.
    """

    source: str
    kinds: list[RequestFacts] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    kind: list[int] = field(default_factory=list)
    held: list[float | None] = field(default_factory=list)
    _known: dict[RequestFacts, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.at)

    def add(self, at: float, facts: RequestFacts, held: float | None = None) -> None:
        """One more request."""
        self.at.append(at)
        self.kind.append(self.kind_of(facts))
        self.held.append(held)

    def kind_of(self, facts: RequestFacts) -> int:
        """The number of that kind of request, a new one where none was like it."""
        number = self._known.get(facts)
        if number is None:
            number = self._known[facts] = len(self.kinds)
            self.kinds.append(facts)
        return number

    def minutes_told(self, wanted: bool) -> RecordedLoad:
        """With the minute of the day that each request came in, where a rule asks for the hour."""
        if not wanted:
            return self
        told, made = RecordedLoad(self.source, at=self.at, held=self.held), dict[tuple[int, int], int]()
        for asked in zip(self.kind, map(minute_of_day, self.at), strict=True):
            number = made.get(asked)
            if number is None:
                kind, minute = asked
                number = made[asked] = told.kind_of(replace(self.kinds[kind], minute=minute))
            told.kind.append(number)
        return told


def facts_of(stream: Stream) -> RequestFacts:
    """What routing sees of a stream's requests."""
    return RequestFacts(stream.model, stream.customer_class, stream.prompt_tokens, stream.max_tokens)


def from_run(events: Iterable[Event], drill: Drill, run: str) -> RecordedLoad:
    """A run's samples: what each stream of its drill asked, when it was due, and for how long its slot was held.

    Requests that the service never saw, or that were not answered well by their first attempt, do not tell how long.
    """
    facts = {stream.name: facts_of(stream) for stream in drill.load.streams}
    load = RecordedLoad(f"run {run}")
    for _, said in each(events, LoadSamples):
        columns = said.columns
        names = ("stream", "due", "outcome", "latency", "queue_wait", "attempts")
        rows = [columns.get(name) or [None] * len(columns["due"]) for name in names]
        for stream, due, outcome, latency, waited, attempts in zip(*rows, strict=True):
            if stream not in facts:
                continue
            clean = outcome == "ok" and attempts in (None, 1) and latency is not None and waited is not None
            load.add(due, facts[stream], latency - waited if clean else None)
    return load


def read_load(path: Path) -> RecordedLoad:
    """A file of recorded load: CSV with a header, or a JSON object a line. SpecError says where it is wrong."""
    load, made = RecordedLoad(str(path)), dict[tuple[Any, ...], int]()
    with path.open("rb") as file:
        rows = _csv_rows(path, file) if path.suffix.lower() == ".csv" else _json_rows(path, file)
        for number, row in rows:
            get = row.get
            key = tuple(map(get, FACTS))
            try:
                kind = made.get(key)
                if kind is None:
                    kind = made[key] = load.kind_of(_facts(row))
                held = get("held")
                load.held.append(None if held in (None, "") else _number("held", held))
                load.at.append(_moment(get("at")))
                load.kind.append(kind)
            except ValueError as error:
                raise _wrong(path, number, str(error)) from None
            except TypeError:  # only a list or an object cannot be part of a key
                name = next(one for one in FACTS if isinstance(get(one), list | dict))
                raise _wrong(path, number, f"{name}: got {shown(get(name))}, expected a word or a number") from None
    if not len(load):
        raise _wrong(path, 1, "no requests, expected one a line")
    return load


def _wrong(path: Path, line: int, text: str) -> SpecError:
    found, _, allowed = text.partition(", expected ")
    return SpecError([Problem(str(path), line, 1, found, f"expected {allowed}")])


def _json_rows(path: Path, lines: Iterable[bytes]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(lines, start=1):
        try:
            row = from_json(line) if len(line) <= LINE_MAX else None
        except ValueError:
            if line.isspace():
                continue
            row = None
        if not isinstance(row, dict):
            told = shown(line.decode(errors="replace").strip())
            raise _wrong(path, number, f"got {told}, expected a JSON object with {either(COLUMNS)}")
        if number == 1:
            _check_names(path, row)
        yield number, row


def _csv_rows(path: Path, file: BinaryIO) -> Iterator[tuple[int, Mapping[str, Any]]]:
    with io.TextIOWrapper(file, encoding="utf-8-sig", errors="replace", newline="") as text:
        reader = csv.reader(text)
        try:
            names = next(reader, [])
            _check_names(path, names)
            for row in reader:
                if len(row) == len(names):
                    yield reader.line_num, dict(zip(names, row, strict=True))
                elif row:
                    raise _wrong(path, reader.line_num, f"got {plural(len(row), 'value')}, expected {len(names)}")
        except csv.Error as error:
            raise _wrong(path, reader.line_num, f"{error}, expected CSV") from None


def _check_names(path: Path, names: Iterable[Any]) -> None:
    for name in names:
        if name not in COLUMNS:
            near = nearest(name, COLUMNS)
            raise SpecError([Problem(str(path), 1, 1, f"no column {shown(name)}", f"expected {either(COLUMNS)}", near)])
    for name in ("at", "model"):
        if name not in names:
            raise _wrong(path, 1, f"no column {name}, expected at least at and model")


def _facts(row: Mapping[str, Any]) -> RequestFacts:
    model = row.get("model")
    if not isinstance(model, str) or not model:
        raise ValueError(f"model: got {shown(model)}, expected a model's name")
    words = {name: _word(name, row.get(name)) for name in ("customer_class", "region")}
    sizes = {name: int(_given(row, name, 1)) for name in ("prompt_tokens", "max_tokens")}
    value = row.get("transaction")
    transaction = None if value in (None, "") else _number("transaction", value)
    return RequestFacts(model=model, transaction=transaction, **words, **sizes)  # type: ignore[arg-type]


def _given(row: Mapping[str, Any], name: str, usual: float) -> float:
    value = row.get(name)
    return usual if value in (None, "") else _number(name, value)


def _word(name: str, value: Any) -> str | None:
    if value in (None, ""):
        return None
    if not isinstance(value, str):
        raise ValueError(f"{name}: got {shown(value)}, expected a word")
    return value


def _number(name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = -1.0
    if isinstance(value, bool) or not 0.0 <= number < 1e15:
        raise ValueError(f"{name}: got {shown(value)}, expected a number of 0 or more")
    return number


def _moment(value: Any) -> float:
    moment = _as_number(value)
    if moment is None:
        moment = _as_time(value)
    if moment is not None:
        return moment
    raise ValueError(f"at: got {shown(value)}, expected Unix seconds or a time such as 2026-03-01T02:00:00Z")


def _as_number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if not isinstance(value, bool) and 0.0 <= number < 1e12 else None


def _as_time(value: Any) -> float | None:
    try:
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
