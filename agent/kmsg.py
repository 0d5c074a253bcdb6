"""Lines in the kernel's log, such as a driver would write.

The kernel lets ten lines in five seconds pass of each opening of /dev/kmsg, unless it is told otherwise: each line has
an opening of its own, and nothing of the machine's is changed for them. A line without its end would be kept back
until the next one.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from fault import NOTHING, REVERTED, Fault, Refused

DEVICE = "/dev/kmsg"
SETTING = "/proc/sys/kernel/printk_devkmsg"
DRIVER = "/proc/driver/nvidia/gpus"
LINE_MAX = 900
COUNT = (1, 100_000)


class Lines(Fault):
    """`lines`, one after the other and again: `count` in all, `per_second`; each with `mark` in it, to be counted.

    `{pci}` in a line stands for the address of the GPU of index `gpu`.
    """

    tick_s: float | None = 0.05
    _written = 0
    _began = 0.0

    def bind(self) -> dict[str, Any]:
        lines, mark = self.parameters.get("lines"), self.parameters.get("mark")
        if not isinstance(mark, str) or len(mark) < 4:
            raise Refused(f"mark: got {mark!r}, expected text of four letters or more")
        if not isinstance(lines, list) or not lines or not all(isinstance(one, str) for one in lines):
            raise Refused("lines: expected a list of texts")
        for line in lines:
            if mark not in line or len(line.encode()) > LINE_MAX or not line.isprintable():
                raise Refused(f"lines: got {line[:80]!r}, expected one line of {LINE_MAX} bytes at most with {mark!r}")
        self.number("count", *COUNT, 1)
        self.number("per_second", 0.1, 5000, 50)
        try:
            setting = Path(SETTING).read_text().strip()
        except OSError:
            setting = "unknown"
        if setting == "off":
            raise Refused(f"{SETTING} is off: the kernel takes no lines")
        if not os.access(DEVICE, os.W_OK):
            raise Refused(f"{DEVICE} is not there or not ours to write to: a privileged container has it")
        return {"counted_before": count_lines(mark), "pci": pci_of(int(self.number("gpu", 0, 63, 0)))}

    def apply(self) -> None:
        self._began = time.monotonic()
        self.tick()

    def tick(self) -> None:
        lines, count = self.parameters["lines"], self.parameters.get("count", 1)
        due = min(count, 1 + int((time.monotonic() - self._began) * self.parameters.get("per_second", 50)))
        for number in range(self._written, due):
            fd = os.open(DEVICE, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(fd, lines[number % len(lines)].replace("{pci}", self.found["pci"]).encode() + b"\n")
            finally:
                os.close(fd)
        self._written = max(self._written, due)
        if self._written >= count:
            self.tick_s = None

    def undo(self) -> str:
        """No more lines; those that were written stay."""
        ended, self.tick_s = self.tick_s is None, None
        return NOTHING if ended or not self._began else REVERTED

    def look(self) -> tuple[bool, str]:
        seen = count_lines(self.parameters["mark"]) - self.found["counted_before"]
        return seen > 0, f"{seen} of {self.parameters.get('count', 1)} lines are in the kernel's log"


def pci_of(gpu: int) -> str:
    """The address of a GPU as the driver spells it; a likely one where there is no driver."""
    known = sorted(path.name for path in Path(DRIVER).iterdir()) if Path(DRIVER).is_dir() else []
    return known[gpu].rpartition(".")[0] if gpu < len(known) else f"0000:{gpu + 1:02x}:00"


def count_lines(mark: str) -> int:
    """The lines with a mark that the kernel's log still holds."""
    try:
        fd = os.open(DEVICE, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return 0
    counted, wanted = 0, mark.encode()
    try:
        while True:
            try:
                line = os.read(fd, 8192)
            except BrokenPipeError:
                continue
            except OSError:
                return counted
            counted += wanted in line.partition(b";")[2].partition(b"\n")[0]
    finally:
        os.close(fd)
