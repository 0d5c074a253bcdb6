"""The node's kernel log, as far as GPU monitors read it: NVRM Xid lines, written with the kernel's time prefix, read in
whatever spelling a log has them, and followed as they come.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tierdrill.faults.xids import XIDS

FILE_NAME = "kmsg"
READ_BYTES_MAX = 256 * 1024

# The PCI address stands with or without "PCI:", domain and function, in either case, and a MIG instance may follow it;
# after the number there may be nothing. What comes before it is the log's own: kernel, dmesg -T, /dev/kmsg, journald.
_XID_HEAD = r"NVRM:\s*Xid\s*\((?:PCI:)?(?P<pci>(?:[0-9a-f]{4,8}:)?[0-9a-f]{2}:[0-9a-f]{2}(?:\.[0-7])?)\b[^)]*\)\s*:?"
_XID = re.compile(rf"{_XID_HEAD}\s*(?P<xid>\d+)\b", re.IGNORECASE)
_UNFINISHED = re.compile(r"NVRM:\s*(?:Xid\b\D*)?$|NVRM:\s*Xid\s*\([^)]*\)?\s*:?\s*$", re.IGNORECASE)
# What a log puts before each line, also before the second half of one that was wrapped.
_PREFIX = re.compile(r"^(?:\d+,\d+,\d+,[^;]*;|.*?\bkernel:|<\d+>)?\s*(?:\[[^\]]*\]\s*)*")


@dataclass(frozen=True)
class XidLine:
    """One Xid report of the kernel log: its address in the kernel's short form."""

    pci_bus_id: str
    xid: int


def describe(xid: int) -> str:
    """The short description metrics carry."""
    return "No Error" if xid == 0 else XIDS[xid].name if xid in XIDS else "Unknown Error"


def kernel_pci(pci_bus_id: str) -> str:
    """The kernel's short form of a PCI address (0000:04:00) from any other: 00000000:04:00.0, 0000:04:00.0, 04:00."""
    *domain, bus, device = pci_bus_id.lower().split(":")
    return f"{int(domain[0], 16) if domain else 0:04x}:{bus}:{device.split('.')[0]}"


def format_line(uptime_s: float, text: str) -> str:
    """A line as `dmesg` shows it."""
    return f"[{uptime_s:12.6f}] {text}"


def format_xid(uptime_s: float, pci_bus_id: str, xid: int, *, pid: int | None, name: str | None) -> str:
    """The driver's line for an Xid. The process is named when one was using the GPU."""
    who = f"pid={pid}, name={name}" if pid is not None else "pid='<unknown>', name=<unknown>"
    message = XIDS[xid].line if xid in XIDS else "unrecognised error"
    return format_line(uptime_s, f"NVRM: Xid (PCI:{kernel_pci(pci_bus_id)}): {xid}, {who}, {message}")


def parse_xid(line: str) -> XidLine | None:
    """Read a line back; None when it does not report an Xid."""
    match = _XID.search(line.rstrip("\n"))
    return None if match is None else XidLine(kernel_pci(match["pci"]), int(match["xid"]))


class XidReader:
    """Finds the Xids of a log as it comes; one whose line was wrapped before its number is put together again."""

    def __init__(self) -> None:
        self._half = ""

    def read(self, lines: Iterable[str]) -> list[XidLine]:
        """The Xids of these lines, which follow those that were read before."""
        found = []
        for line in lines:
            whole = f"{self._half} {_PREFIX.sub('', line, count=1)}" if self._half else line
            parsed = parse_xid(whole) or parse_xid(line)
            self._half = line if parsed is None and _UNFINISHED.search(line) else ""
            if parsed is not None:
                found.append(parsed)
        return found


def append(path: Path, line: str) -> None:
    """Add a line with a single write, so that a reader never sees half of one."""
    with path.open("ab", buffering=0) as log:
        log.write(line.encode() + b"\n")


class Follower:
    """Reads what is appended to a kernel log, once; what was there before is another boot's."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._half = b""

    def begin_at_end(self) -> None:
        self._half = b""
        try:
            self._offset = self._path.stat().st_size
        except FileNotFoundError:
            self._offset = 0

    def lines(self) -> list[str]:
        """The whole lines that have come since; at most READ_BYTES_MAX of them, the rest the next time.

        A log that was cut short is read from its new beginning.
        """
        try:
            size = self._path.stat().st_size
            if size < self._offset:
                self._offset, self._half = 0, b""
            if size == self._offset:
                return []
            with self._path.open("rb") as log:
                log.seek(self._offset)
                fresh = log.read(READ_BYTES_MAX)
        except OSError:
            return []
        self._offset += len(fresh)
        *whole, self._half = (self._half + fresh).split(b"\n")
        return [line.decode(errors="replace") for line in whole]
