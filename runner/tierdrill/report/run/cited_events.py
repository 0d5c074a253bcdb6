"""Evidence: the events that checks cite, as rows to read, and each check's citations as links to them."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tierdrill.history.events import Event, each
from tierdrill.history.kinds.run_kinds import LoadSamples
from tierdrill.judge.verdict import Check, Verdict
from tierdrill.report.event_text import describe
from tierdrill.report.format import show_offset
from tierdrill.report.run_model import RunState
from tierdrill.text import plural

ROWS_MAX = 400
DATA_MAX = 400
LINKS_MAX = 8


@dataclass(frozen=True)
class Row:
    """One event, or all events of samples together."""

    anchor: str
    number: str
    offset: str
    kind: str
    source: str
    text: str
    data: str


@dataclass(frozen=True)
class Link:
    """A citation: words, and the row it leads to."""

    text: str
    anchor: str


@dataclass(frozen=True)
class Evidence:
    """All rows, and how many did not fit."""

    rows: tuple[Row, ...]
    left_out: int
    links: dict[str, tuple[Link, ...]]


def evidence_of(events: Sequence[Event], verdict: Verdict, state: RunState) -> Evidence:
    by_number = {event.sequence: event for event in events}
    cited = sorted({number for check in verdict.checks for number in check.events if number in by_number})
    plain = [by_number[number] for number in cited if by_number[number].kind != LoadSamples.KIND]
    samples = [by_number[number] for number in cited if by_number[number].kind == LoadSamples.KIND]
    shown = plain[:ROWS_MAX]
    rows = [_row(event, state) for event in shown]
    if samples:
        rows.append(_samples_row(samples, state.zero))
    anchors = {event.sequence for event in shown}
    links = {check.id: _links(check, by_number, anchors) for check in verdict.checks}
    return Evidence(tuple(rows), len(plain) - len(shown), links)


def _row(event: Event, state: RunState) -> Row:
    line = describe(event, state.faults)
    data = {key: value for key, value in event.data.items() if key != "setting"}
    text = json.dumps(data, sort_keys=True, ensure_ascii=False, default=str)
    return Row(
        anchor=f"e{event.sequence}",
        number=str(event.sequence),
        offset=show_offset(event.at - state.zero),
        kind=event.kind,
        source=event.source,
        text=line.text if line else "",
        data=text if len(text) <= DATA_MAX else f"{text[:DATA_MAX]}… ({len(text):,} characters)",
    )


def _samples_row(events: Sequence[Event], zero: float) -> Row:
    count = sum(len(said.columns.get("due") or ()) for _, said in each(events, LoadSamples))
    return Row(
        anchor="samples",
        number=f"{events[0].sequence}–{events[-1].sequence}",
        offset=f"{show_offset(events[0].at - zero)} to {show_offset(events[-1].at - zero)}",
        kind=LoadSamples.KIND,
        source=events[0].source,
        text=f"{count:,} requests in {plural(len(events), 'event')}; tierdrill history --format jsonl has every one",
        data="",
    )


def _links(check: Check, by_number: dict[int, Event], anchors: Iterable[int]) -> tuple[Link, ...]:
    known = [number for number in check.events if number in by_number]
    samples = any(by_number[number].kind == LoadSamples.KIND for number in known)
    single = [number for number in known if by_number[number].kind != LoadSamples.KIND]
    links = [Link(f"#{number}", f"e{number}" if number in anchors else "") for number in single[:LINKS_MAX]]
    if len(single) > LINKS_MAX:
        links.append(Link(f"and {len(single) - LINKS_MAX} more", ""))
    if samples:
        links.append(Link("samples", "samples"))
    return tuple(links)
