"""Kernel log lines in the form that GPU monitors match on."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierdrill.lab.node import kernel_log as kmsg


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


def test_other_lines_are_not_xids() -> None:
    assert kmsg.parse_xid(kmsg.format_line(1.0, "tierdrill emulated kernel, boot x")) is None
    assert kmsg.parse_xid("") is None


GPU = kmsg.kernel_pci("00000000:AB:00.0")
FELL_OFF = "NVRM: Xid (PCI:0000:ab:00): 79, pid=1, name=x, GPU has fallen off the bus."


@pytest.mark.parametrize(
    "line",
    [
        f"[ 1843.308145] {FELL_OFF}",
        FELL_OFF,
        f"Feb 14 05:03:41 host-1 kernel: {FELL_OFF}",
        f"2026-02-14T05:03:41.308145+00:00 host-1 kernel: [ 1843.308145] {FELL_OFF}",
        f"[Sat Feb 14 05:03:41 2026] {FELL_OFF}",
        f"[ 1843.308145] [   T1234] {FELL_OFF}",
        f"4,1234,1843308145,-;{FELL_OFF}",
        f'{{"_TRANSPORT":"kernel","MESSAGE":"{FELL_OFF}"}}',
        f"<4>[ 1843.308145] {FELL_OFF}",
        "[ 1843.308145] NVRM: Xid (PCI:0000:ab:00): 79",
        "NVRM: Xid (PCI:0000:ab:00): 79, GPU has fallen off the bus",
        "[ 1843.308145] NVRM: Xid (0000:ab:00): 79, GPU has fallen off the bus.",
        "NVRM: Xid (PCI:ab:00): 79, Ch 00000010",
        "NVRM: Xid (PCI:0000:AB:00): 79, pid=1, name=x, GPU has fallen off the bus.",
        "NVRM: Xid (PCI:0000:ab:00.0): 79, pid=1, name=x, GPU has fallen off the bus.",
        "NVRM: Xid (PCI:00000000:AB:00.0): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.",
        "NVRM: Xid (PCI:0000:ab:00 GPU-I:05): 79, pid=1, name=x, GPU has fallen off the bus.",
        "nvrm: xid (pci:0000:ab:00): 79",
    ],
)
def test_every_spelling_of_a_line_is_the_same_xid(line: str) -> None:
    parsed = kmsg.parse_xid(line)
    assert parsed is not None
    assert (parsed.pci_bus_id, parsed.xid) == (GPU, 79)
    assert [(one.pci_bus_id, one.xid) for one in kmsg.XidReader().read([line])] == [(GPU, 79)]


@pytest.mark.parametrize(
    "line",
    [
        "[ 1843.308145] NVRM: GPU 0000:ab:00.0: GPU has fallen off the bus.",
        "nvidia-nvswitch0: SXid (PCI:0000:ab:00.0): 12028, Non-fatal, Link 32 egress non-posted PRIV error",
        "NVRM: Xid (PCI:0000:ab:00)",
        "NVRM: Xid (PCI:gone): 79",
        "somebody said Xid 79 of 0000:ab:00",
    ],
)
def test_a_line_without_an_xid_of_a_gpu_is_none(line: str) -> None:
    assert kmsg.parse_xid(line) is None
    assert kmsg.XidReader().read([line, "79, pid=1"] if line.startswith("[") else [line]) == []


def test_an_address_beyond_the_first_domains_is_its_own() -> None:
    assert kmsg.kernel_pci("00010000:04:00.0") == "10000:04:00" != kmsg.kernel_pci("00000000:04:00.0")
    parsed = kmsg.parse_xid("NVRM: Xid (PCI:10000:04:00): 48, DBE")
    assert parsed is not None and parsed.pci_bus_id == "10000:04:00"


@pytest.mark.parametrize(
    "lines",
    [
        ["[ 1843.308145] NVRM: Xid (PCI:0000:ab:00):", " 79, pid=1, name=x, GPU has fallen off the bus."],
        ["[ 1843.308145] NVRM: Xid", "[ 1843.308146] (PCI:0000:ab:00): 79, pid=1"],
        ["Feb 14 05:03:41 h kernel: NVRM: Xid (PCI:0000:ab:00):", "Feb 14 05:03:41 h kernel: 79, pid=1"],
        ["[ 1843.308145] NVRM: Xid (PCI:0000:ab:00): 79, pid=1,", " name=x, GPU has fallen off the bus."],
    ],
)
def test_a_line_that_was_wrapped_is_read_as_one(lines: list[str]) -> None:
    reader = kmsg.XidReader()
    found = [one for line in lines for one in reader.read([line])]
    assert [(one.pci_bus_id, one.xid) for one in found] == [(GPU, 79)]


PREFIXES = st.sampled_from(
    ("", "[ 1843.308145] ", "<4>[ 1843.308145] ", "[Sat Feb 14 05:03:41 2026] ", "[ 1843.308145] [   T1234] ",
     "4,1234,1843308145,-;", "Feb 14 05:03:41 host-1 kernel: ",
     "2026-02-14T05:03:41.308145+00:00 host-1 kernel: [ 1843.308145] ")
)  # fmt: skip
ADDRESSES = st.sampled_from(
    ("PCI:0000:ab:00", "PCI:0000:ab:00.0", "PCI:00000000:AB:00.0", "PCI:ab:00", "0000:ab:00", "PCI:0000:ab:00 GPU-I:05")
)
TAILS = st.sampled_from(
    ("", ", pid=1, name=x, GPU has fallen off the bus.", ", pid='<unknown>', name=<unknown>", ", Ch 00000010")
)
OTHERS = st.lists(
    st.builds(
        str.__add__,
        PREFIXES,
        st.sampled_from(
            ("usb 1-1: new device", "NVRM: GPU 0000:ab:00.0: GPU has fallen off the bus.", "79, 45, 12",
             "nvidia-nvswitch0: SXid (PCI:0000:ab:00.0): 12028, Non-fatal")
        ),
    ),
    max_size=2,
)  # fmt: skip


@given(PREFIXES, ADDRESSES, st.integers(1, 999), TAILS, OTHERS, OTHERS, st.data())
def test_an_xid_is_found_once_wherever_its_line_was_wrapped(
    prefix: str, address: str, xid: int, tail: str, before: list[str], after: list[str], data: st.DataObject
) -> None:
    text = f"NVRM: Xid ({address}): {xid}{tail}"
    spaces = [at for at, letter in enumerate(text) if letter == " "]
    cut = data.draw(st.sampled_from([len(text), *spaces]), label="cut")
    again = data.draw(st.sampled_from(("", " ", prefix)), label="prefix of the second half")
    halves = [prefix + text[:cut], *([again + text[cut + 1 :]] if cut < len(text) else [])]
    found = kmsg.XidReader().read([*before, *halves, *after])
    assert [(one.pci_bus_id, one.xid) for one in found] == [(GPU, xid)]


def test_a_half_line_does_not_swallow_the_next_xid() -> None:
    reader = kmsg.XidReader()
    found = reader.read(["NVRM: Xid (PCI:0000:ab:00):", FELL_OFF.replace("79", "45"), "12, something else"])
    assert [(one.pci_bus_id, one.xid) for one in found] == [(GPU, 45)]


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
