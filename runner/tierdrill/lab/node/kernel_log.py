"""The node's kernel log, as far as GPU monitors read it: NVRM Xid lines, written with the kernel's time prefix, read in
whatever spelling a log has them, and followed as they come.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

FILE_NAME = "kmsg"
READ_BYTES_MAX = 256 * 1024

# What the driver prints after the pid and name, by Xid; the words monitors match on.
_MESSAGES = {
    13: "Graphics SM Warp Exception on (GPC 0, TPC 0, SM 0): Out Of Range Address",
    31: "MMU Fault: ENGINE GRAPHICS GPCCLIENT_T1_0 faulted @ 0x7f00_00000000. Fault is of type FAULT_PDE",
    43: "Ch 00000010",
    45: "Ch 00000010",
    48: "DBE (double bit error) has been detected on GPU in the framebuffer at partition 0, subpartition 0.",
    63: "Row Remapper: New row marked for remapping, reset gpu to activate.",
    64: "Row Remapper: Error recording the row remap.",
    74: "NVLink: fatal error detected on link 0",
    79: "GPU has fallen off the bus.",
    94: "Contained: SM (0x1). RST: No, D-RST: No",
    95: "Uncontained: FBHUB. RST: Yes, D-RST: No",
    109: "Ch 00000010, errorString CTX SWITCH TIMEOUT",
    119: "Timeout after 6s of waiting for RPC response from GPU0 GSP! Expected function 76 (GSP_RM_CONTROL)",
}
# dcgm-exporter's err_msg texts.
_DESCRIPTIONS = {
    0: "No Error",
    13: "Graphics Engine Exception",
    31: "GPU memory page fault",
    43: "GPU stopped processing",
    45: "Preemptive cleanup, due to previous errors",
    48: "Double Bit ECC Error",
    63: "ECC page retirement or row remapping recording event",
    64: "ECC page retirement or row remapper recording failure",
    74: "NVLINK Error",
    79: "GPU has fallen off the bus",
    94: "Contained ECC error",
    95: "Uncontained ECC error",
    109: "Context Switch Timeout Error",
    119: "GSP RPC Timeout",
}
# The PCI address stands with or without "PCI:", domain and function, in either case, and a MIG instance may follow it;
# after the number there may be nothing. What comes before it is the log's own: kernel, dmesg -T, /dev/kmsg, journald.
_XID_HEAD = r"NVRM:\s*Xid\s*\((?:PCI:)?(?P<pci>(?:[0-9a-f]{4,8}:)?[0-9a-f]{2}:[0-9a-f]{2}(?:\.[0-7])?)\b[^)]*\)\s*:?"
_XID = re.compile(rf"{_XID_HEAD}\s*(?P<xid>\d+)\b[,\s]*(?P<rest>.*)", re.IGNORECASE)
_UNFINISHED = re.compile(r"NVRM:\s*Xid\b\D*$|NVRM:\s*Xid\s*\([^)]*\)?\s*:?\s*$", re.IGNORECASE)
_UPTIME = re.compile(r"^\[\s*(\d+\.\d+)\]")
# What a log puts before each line, also before the second half of one that was wrapped.
_PREFIX = re.compile(r"^(?:\d+,\d+,\d+,[^;]*;|.*?\bkernel:)?\s*(?:\[[^\]]*\]\s*)*")


@dataclass(frozen=True)
class XidLine:
    """One Xid report of the kernel log: its address in the kernel's short form, `uptime_s` where the line tells it."""

    uptime_s: float | None
    pci_bus_id: str
    xid: int
    text: str


def describe(xid: int) -> str:
    """The short description metrics carry."""
    return _DESCRIPTIONS.get(xid, "Unknown Error")


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
    message = _MESSAGES.get(xid, "unrecognised error")
    return format_line(uptime_s, f"NVRM: Xid (PCI:{kernel_pci(pci_bus_id)}): {xid}, {who}, {message}")


def parse_xid(line: str) -> XidLine | None:
    """Read a line back; None when it does not report an Xid."""
    match = _XID.search(line.rstrip("\n"))
    if match is None:
        return None
    uptime = _UPTIME.match(line)
    return XidLine(
        float(uptime[1]) if uptime else None, kernel_pci(match["pci"]), int(match["xid"]), match["rest"].strip()
    )


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
        """Skip what is there now."""
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
