"""The chain of a history: whatever is changed in it is found out, and what is only written otherwise is not."""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.raw_event import event

from tierdrill.history.erase import erase_from_runs
from tierdrill.history.events import Event
from tierdrill.history.hash_chain import Standing, standing_of
from tierdrill.history.history_store import HistoryStore, read_history, write_lines
from tierdrill.history.ledger import Ledger

EVENTS = [
    event("run.started", "runner", at=1.0, run="r1", text="caf\udce9 \ud800", pair="\U0001f600"),
    event("load.samples", "load", at=2, columns={"latency": [0.1, 1e-9, 12345678.9], "status": [200, None]}),
    event("fault.landed", "witness", at=3.25, fault="f1", seen={"b": [1, {"a": True}], "a": "x"}),
    event("run.note", "runner", at=4.5, text=""),
    event("run.ended", "runner", at=5.0, outcome="completed"),
]


def stored(home: Path) -> HistoryStore:
    """A store with one run, whose events came in several batches."""
    store = HistoryStore(home)
    store.begin("r1", "d", "drill", 1.0)
    store.append("r1", EVENTS[0])
    store.append_many("r1", EVENTS[1:4])
    store.append("r1", EVENTS[4])
    return store


def exported(home: Path) -> tuple[list[str], str]:
    """The exported lines of that run, and the digest of its last event."""
    with closing(stored(home)) as store:
        out = io.StringIO()
        write_lines(store.events("r1"), out)
        return out.getvalue().splitlines(), store.events("r1")[-1].digest


def standing(folder: Path, lines: list[str], recorded: str | None) -> Standing:
    """What an export of these lines is found to be."""
    path = folder / "run.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return standing_of(read_history(path)[1], recorded, "the ledger")


def test_an_export_is_verified_by_the_digest_that_was_recorded(tmp_path: Path) -> None:
    lines, digest = exported(tmp_path)
    assert standing(tmp_path, lines, digest).state == "verified"
    assert standing(tmp_path, lines, None).state == "unverifiable"
    assert standing(tmp_path, lines, "0" * 64).state == "altered"


def test_the_chain_in_the_store_is_that_of_the_export(tmp_path: Path) -> None:
    with closing(stored(tmp_path)) as store:
        chain = store.chain("r1")
        events = store.events("r1")
        assert chain.whole and chain.broken is None and chain.events == len(EVENTS)
        assert chain.digest == events[-1].digest
        # What was stored is what comes back, with its texts valid.
        assert events[0].data["text"] == "caf\ufffd \ufffd" and events[0].data["pair"] == "\U0001f600"


def edit(lines: list[str], number: int, change: Callable[[dict[str, object]], object]) -> list[str]:
    """The lines with one event changed and its digest left as it was."""
    record = json.loads(lines[number])
    change(record)
    digest = record.pop("digest")
    body = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return [*lines[:number], f'{body[:-1]},"digest":"{digest}"}}', *lines[number + 1 :]]


@pytest.mark.parametrize("number", range(len(EVENTS)))
@pytest.mark.parametrize(
    "change",
    [
        lambda record: record.update(at=record["at"] + 0.001),
        lambda record: record.update(source="other"),
        lambda record: record["data"].update(more=1),
        lambda record: record["data"].clear() if record["data"] else record["data"].update(x=1),
        lambda record: record.update(digest="0" * 64),
    ],
)
def test_a_changed_event_is_found_where_it_stands(
    tmp_path: Path, number: int, change: Callable[[dict[str, object]], object]
) -> None:
    lines, digest = exported(tmp_path)
    found = standing(tmp_path, edit(lines, number, change), digest)
    assert found.altered
    assert f"event {number + 1} " in found.why


def renumbered(lines: list[str]) -> list[str]:
    """Sequences made anew, as somebody would who takes a line out."""
    return [json.dumps({**json.loads(line), "sequence": number}) for number, line in enumerate(lines, 1)]


def test_events_that_are_left_out_put_in_or_moved_are_found(tmp_path: Path) -> None:
    lines, digest = exported(tmp_path)
    assert standing(tmp_path, lines[:-1], digest).altered
    assert standing(tmp_path, renumbered([*lines[:2], *lines[3:]]), digest).altered
    assert standing(tmp_path, renumbered([lines[0], lines[2], lines[1], *lines[3:]]), digest).altered
    assert standing(tmp_path, renumbered([*lines[:3], lines[2], *lines[3:]]), digest).altered


def test_a_chain_made_anew_is_found_by_the_digest_that_was_recorded(tmp_path: Path) -> None:
    lines, digest = exported(tmp_path)
    bare = [json.loads(line) for line in lines]
    bare[2]["data"]["fault"] = "f2"
    with closing(HistoryStore(tmp_path / "forger")) as store:
        store.append_many("r1", [Event(one["at"], one["kind"], one["source"], one["data"]) for one in bare])
        forged = [one.to_line() for one in store.events("r1")]
    assert standing(tmp_path, forged, None).state == "unverifiable"
    assert standing(tmp_path, forged, digest).altered


def test_the_same_events_written_otherwise_are_the_same(tmp_path: Path) -> None:
    lines, digest = exported(tmp_path)
    spaced = [json.dumps(json.loads(line), indent=None) for line in lines]
    turned = [json.dumps(dict(reversed(json.loads(line).items()))) for line in lines]
    for other in (spaced, turned, [line + "  " for line in lines]):
        assert standing(tmp_path, other, digest).state == "verified"


def test_an_export_without_digests_is_held_against_what_is_recorded_all_the_same(tmp_path: Path) -> None:
    lines, digest = exported(tmp_path)
    bare = []
    for line in lines:
        record = json.loads(line)
        del record["digest"]
        bare.append(json.dumps(record, sort_keys=True, separators=(",", ":")))
    found = standing(tmp_path, bare, None)
    assert found.state == "unverifiable" and "older version" in found.why
    assert standing(tmp_path, bare, digest).state == "verified"
    assert standing(tmp_path, [*bare[:3], bare[3].replace("4.5", "4.6"), bare[4]], digest).altered
    # Digests that begin to be missing on the way were taken off.
    assert standing(tmp_path, [*lines[:3], *bare[3:]], digest).altered


def test_a_store_that_was_edited_is_found_out(tmp_path: Path) -> None:
    with closing(stored(tmp_path)) as store, closing(sqlite3.connect(tmp_path / "history.db")) as database:
        database.execute("UPDATE events SET data = replace(data, '0.1', '0.2') WHERE sequence = 2")
        database.commit()
        assert store.chain("r1").broken == 2


def test_what_is_added_to_a_run_of_an_older_version_has_no_digest(tmp_path: Path) -> None:
    with closing(stored(tmp_path)) as store, closing(sqlite3.connect(tmp_path / "history.db")) as database:
        database.execute("DELETE FROM links")
        database.commit()
        assert store.append("r1", event("run.note", "recover", text="x")).digest == ""
        chain = store.chain("r1")
        assert not chain.whole and chain.broken is None


def test_a_name_that_is_erased_leaves_a_whole_chain(tmp_path: Path) -> None:
    with closing(stored(tmp_path)) as store:
        before = store.events("r1")[-1].digest
        erased = erase_from_runs(tmp_path, "drill", lambda data: {**data, "text": "?"} if "text" in data else data)
        assert erased == ["r1"]
        chain = store.chain("r1")
        assert chain.broken is None and chain.digest != before


def test_the_ledger_keeps_the_last_digest(tmp_path: Path) -> None:
    with closing(Ledger(tmp_path)) as ledger:
        assert ledger.digest("r1") is None
        ledger.keep_digest("r1", 5, "a" * 64)
        ledger.keep_digest("r1", 6, "b" * 64)
        assert ledger.digest("r1") == "b" * 64


@given(st.recursive(st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(), st.lists))
def test_any_data_is_digested_the_same_in_the_store_and_from_its_line(value: object) -> None:
    line = event("run.note", "s", at=1.0, value=value).to_line()
    assert Event.from_line(line).to_line() == line
