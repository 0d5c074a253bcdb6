"""Kernel log lines in the form that GPU monitors match on."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierdrill.lab import kmsg


def test_the_line_of_a_gpu_that_fell_off_the_bus() -> None:
    line = kmsg.format_xid(12.5, "00000000:04:00.0", 79, pid=4711, name="assistant-0")
    assert line == (
        "[   12.500000] NVRM: Xid (PCI:0000:04:00): 79, pid=4711, name=assistant-0, GPU has fallen off the bus."
    )


@given(st.floats(0, 1e6), st.integers(1, 999), st.one_of(st.none(), st.integers(1, 99999)))
def test_lines_read_back(uptime_s: float, xid: int, pid: int | None) -> None:
    parsed = kmsg.parse_xid(kmsg.format_xid(uptime_s, "00000000:0A:1F.0", xid, pid=pid, name="r"))
    assert parsed is not None
    assert (parsed.pci_bus_id, parsed.xid) == ("0000:0a:1f", xid)
    assert abs(parsed.uptime_s - uptime_s) < 1e-5


def test_other_lines_are_not_xids() -> None:
    assert kmsg.parse_xid(kmsg.format_line(1.0, "tierdrill emulated kernel, boot x")) is None
    assert kmsg.parse_xid("") is None


def test_append(tmp_path: Path) -> None:
    kmsg.append(tmp_path / "kmsg", "one")
    kmsg.append(tmp_path / "kmsg", "two")
    assert (tmp_path / "kmsg").read_text() == "one\ntwo\n"


@given(st.lists(st.tuples(st.text("abc\n", max_size=8), st.booleans()), max_size=12))
def test_a_follower_gives_every_whole_line_once(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[tuple[str, bool]]
) -> None:
    path = tmp_path_factory.mktemp("log") / "kmsg"
    path.write_text("another boot's\n")
    follower = kmsg.Follower(path)
    follower.begin_at_end()
    came: list[str] = []
    for text, look in pieces:
        with path.open("a") as log:
            log.write(text)
        if look:
            came += follower.lines()
    came += follower.lines()
    assert came == "".join(text for text, _ in pieces).split("\n")[:-1]


def test_a_follower_reads_on_in_portions_and_begins_anew_where_the_log_was_cut(tmp_path: Path) -> None:
    path = tmp_path / "kmsg"
    follower = kmsg.Follower(path)
    follower.begin_at_end()
    assert follower.lines() == []
    line = "x" * 99
    path.write_text(f"{line}\n" * 10_000)
    portions = [follower.lines(), follower.lines(), follower.lines(), follower.lines(), follower.lines()]
    assert [len(portion) for portion in portions[:2]] == [2621, 2621] and sum(map(len, portions)) == 10_000
    assert set(portions[0]) == {line}
    path.write_text("new\n")
    assert follower.lines() == ["new"]
    path.unlink()
    assert follower.lines() == []


def test_descriptions() -> None:
    assert kmsg.describe(0) == "No Error"
    assert kmsg.describe(79) == "GPU has fallen off the bus"
    assert kmsg.describe(998) == "Unknown Error"
