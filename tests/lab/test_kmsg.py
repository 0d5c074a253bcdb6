"""Kernel log lines in the form that GPU monitors match on."""

from __future__ import annotations

from pathlib import Path

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


def test_descriptions() -> None:
    assert kmsg.describe(0) == "No Error"
    assert kmsg.describe(79) == "GPU has fallen off the bus"
    assert kmsg.describe(998) == "Unknown Error"
