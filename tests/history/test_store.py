"""The history store: append-only, numbered, exported and read back byte for byte."""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.raw_event import event

from tierdrill.history.events import Event
from tierdrill.history.history_store import HistoryError, HistoryStore, read_history, write_lines

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@given(st.floats(0, 4e9), st.text(), st.dictionaries(st.text(), JSON, max_size=4))
def test_an_event_is_the_same_after_a_line(at: float, kind: str, data: dict[str, object]) -> None:
    original = Event(at, kind, "source", data, 3)
    assert Event.from_line(original.to_line()) == original


def test_sequences_run_from_one_without_gaps(tmp_path: Path) -> None:
    store = HistoryStore(tmp_path)
    store.begin("r1", "d", "drill", 1.0)
    for number in range(1, 6):
        assert store.append("r1", event("run.note", "t", text=str(number))).sequence == number
    assert [one.sequence for one in HistoryStore(tmp_path).events("r1")] == [1, 2, 3, 4, 5]


def _write_until_killed(home: Path, ready: object) -> None:
    store = HistoryStore(home)
    for number in range(10**9):
        store.append("r1", event("run.note", "t", text=str(number)))
        if number == 20:
            ready.set()  # type: ignore[attr-defined]


def test_a_killed_writer_loses_nothing_it_has_written(tmp_path: Path) -> None:
    HistoryStore(tmp_path).begin("r1", "d", "drill", 1.0)
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    writer = context.Process(target=_write_until_killed, args=(tmp_path, ready))
    writer.start()
    assert ready.wait(20)
    assert writer.pid is not None
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    events = HistoryStore(tmp_path).events("r1")
    assert len(events) > 20
    assert [one.data["text"] for one in events] == [str(number) for number in range(len(events))]
    assert HistoryStore(tmp_path).append("r1", event("run.note", "t")).sequence == len(events) + 1


def test_runs_are_found_by_name_beginning_or_last(tmp_path: Path) -> None:
    store = HistoryStore(tmp_path)
    assert store.find(None) is None
    store.begin("node-loss-1-aa", "node-loss", "drill", 1.0)
    store.begin("node-loss-2-bb", "node-loss", "blip", 2.0)
    last = store.find(None)
    assert last is not None and last.run == "node-loss-2-bb"
    assert store.find("node-loss-1") is not None
    assert store.find("node-loss") is None
    assert store.find("node%") is None
    store.finish("node-loss-1-aa", 3.0, "passed", "fine")
    assert [run.status for run in store.runs(drill="node-loss")] == [None, "passed"]


def test_a_run_is_found_by_its_whole_name_whatever_longer_ones_there_are(tmp_path: Path) -> None:
    store = HistoryStore(tmp_path)
    for number, name in enumerate(("nightly", "nightly-1", "nightly-2", "nightly-3")):
        store.begin(name, "node-loss", "drill", float(number))
    found = store.find("nightly")
    assert found is not None and found.run == "nightly"


def test_a_name_is_taken_once(tmp_path: Path) -> None:
    store = HistoryStore(tmp_path)
    store.begin("r1", "d", "drill", 1.0)
    with pytest.raises(HistoryError):
        store.begin("r1", "d", "drill", 1.0)


def test_export_and_import_are_the_same_bytes(tmp_path: Path) -> None:
    events = [Event(1.0, "run.started", "r", {"x": 1.5}, 1), Event(2.25, "run.note", "r", {"text": "ä"}, 2)]
    out = io.StringIO()
    write_lines(events, out)
    path = tmp_path / "h.jsonl"
    path.write_text(out.getvalue(), encoding="utf-8")
    again = io.StringIO()
    write_lines(read_history(path)[0], again)
    assert again.getvalue() == out.getvalue()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "1:1"),
        ("{}\n", "1:1"),
        ("nonsense\n", "1:1"),
        ('{"sequence":1,"at":1,"kind":"x","source":"s","data":{}}\nbroken', "2:1"),
        ('{"sequence":1,"at":NaN,"kind":"run.started","source":"s","data":{}}', "1:1: .*finite"),
        ('{"sequence":1,"at":1,"kind":"run.started","source":"s","data":{"x":1e999}}', "1:1: .*finite"),
        ('{"sequence":1,"at":"inf","kind":"run.started","source":"s","data":{}}', "1:1: at: got .inf., expected a n"),
        ('{"sequence":1,"at":1,"kind":"x","source":"s"}', "1:1: data: missing, expected an object"),
        ('{"sequence":1,"at":1,"kind":["x"],"source":"s","data":{}}', "1:1: kind: got \\['x'\\], expected a text"),
        ('{"sequence":"1","at":1,"kind":"x","source":"s","data":{}}', "1:1: sequence: got .1., expected a whole"),
        (f'{{"sequence":1,"at":1{"0" * 400},"kind":"x","source":"s","data":{{}}}}', "1:1: at: got 1000"),
        ("[1]", "1:1: not a history event: .*a JSON list.*one JSON event per line"),
        ("[" * 100_000, "1:1"),
        ("\udcff", "1:1: 'utf-8' codec"),
    ],
)
def test_a_broken_export_is_located(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "broken.jsonl"
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(HistoryError, match=message):
        read_history(path)[0]


@pytest.mark.parametrize(
    ("kind", "data", "message"),
    [
        ("preflight.check", '{"name":"x","ok":"x"}', "2:1: data.ok: got 'x', expected true or false"),
        ("fault.landed", '{"fault":"f","effective_at":"soon"}', "2:1: data.effective_at: got .soon., expected"),
        ("alert.state", '{"labels":[]}', "2:1: data.labels: got \\[\\], expected an object"),
        ("ledger.open", '{"faults":"none"}', "2:1: data.faults: got 'none', expected a list"),
        ("load.samples", '{"columns":{"due":1}}', "2:1: data.columns.due: got 1, expected a list"),
    ],
)
def test_a_field_of_another_type_is_located(tmp_path: Path, kind: str, data: str, message: str) -> None:
    path = tmp_path / "broken.jsonl"
    path.write_text(f'{_line(1)}\n{{"sequence":2,"at":1,"kind":"{kind}","source":"s","data":{data}}}\n')
    with pytest.raises(HistoryError, match=message):
        read_history(path)[0]


def test_what_an_older_version_left_out_or_said_otherwise_is_for_the_judge(tmp_path: Path) -> None:
    path = tmp_path / "old.jsonl"
    events = [("preflight.check", '{"ok":null}'), ("fault.landed", "{}"), ("of.tomorrow", '{"ok":"x"}')]
    lines = [f'{{"sequence":{number},"at":1,"kind":"{kind}","source":"s","data":{data}}}' for number, (kind, data) in
             enumerate(events, 2)]  # fmt: skip
    path.write_text("\n".join([_line(1), *lines]))
    assert len(read_history(path)[0]) == 4


def _line(sequence: int, kind: str = "run.note") -> str:
    return Event(1.0, "run.started" if sequence == 1 else kind, "s", {}, sequence).to_line()


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        ((1, 2, 4), "broken.jsonl:3:1: got sequence 4, expected 3"),
        ((1, 1), "broken.jsonl:2:1: got sequence 1, expected 2"),
        ((1, 3, 2), "broken.jsonl:2:1: got sequence 3, expected 2"),
        ((0, 1), "broken.jsonl:1:1: got sequence 0, expected 1"),
        ((2, 3), "broken.jsonl:1:1: got sequence 2, expected 1"),
    ],
)
def test_an_export_with_lines_missing_or_moved_is_refused(
    tmp_path: Path, sequences: tuple[int, ...], message: str
) -> None:
    path = tmp_path / "broken.jsonl"
    path.write_text("\n".join(map(_line, sequences)))
    with pytest.raises(HistoryError, match=message):
        read_history(path)[0]


def test_blank_lines_in_an_export_are_no_events(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    path.write_text(f"{_line(1)}\n\n{_line(2)}\n\n")
    assert [one.sequence for one in read_history(path)[0]] == [1, 2]


def test_a_store_of_the_future_is_refused(tmp_path: Path) -> None:
    store = HistoryStore(tmp_path)
    store._database.execute("PRAGMA user_version=99")
    store.close()
    with pytest.raises(HistoryError, match="newer"):
        HistoryStore(tmp_path)
