"""The generator's own health, as it reports it: CPU, event-loop lag, how idle the machine is.

Plain reads of the clock and of /proc; what they mean is the judge's affair.
"""

import os
import time
from pathlib import Path
from typing import Any

STALL_S = 0.5
_STAT = Path("/proc/stat")


def machine_times() -> tuple[float, float, float] | None:
    """(idle, stolen by the hypervisor, total) jiffies of all CPUs since boot; None where there is no /proc.

    What processes of a lower priority (nice above 0) use counts as idle: it is ours as soon as we want it. Not where we
    are such a process ourselves.
    """
    try:
        with _STAT.open("rb") as file:
            numbers = [int(text) for text in file.readline().split()[1:9]]
    except (OSError, ValueError):
        return None
    # Idle and waiting for I/O. Stolen time is in the total: a hypervisor's neighbour is a busy machine too.
    below_us = numbers[1] if os.getpriority(os.PRIO_PROCESS, 0) <= 0 else 0
    return float(numbers[3] + numbers[4] + below_us), float(sum(numbers[7:])), float(sum(numbers))


class Vitals:
    """Counts within one interval; `report` closes the interval and begins the next."""

    def __init__(self) -> None:
        self._at = time.monotonic()
        self._cpu_s = time.process_time()
        self._machine = machine_times()
        self._lags: list[float] = []
        self._send_lags: list[float] = []
        self.due = 0
        self.sent = 0
        self.dropped = 0

    def lag(self, seconds: float) -> None:
        """How much later than asked a timer of the event loop came."""
        self._lags.append(max(0.0, seconds))

    def send_lag(self, seconds: float) -> None:
        """How long after its due time an arrival was taken up."""
        self._send_lags.append(seconds)

    def report(self, *, in_flight: int) -> dict[str, Any]:
        """The interval's figures; `due`, `sent` and `dropped` count from the start."""
        at, cpu_s, machine = time.monotonic(), time.process_time(), machine_times()
        elapsed_s = max(at - self._at, 1e-9)
        idle = stolen = None
        if machine is not None and self._machine is not None and machine[2] > self._machine[2]:
            idle_ticks, stolen_ticks, ticks = (now - then for now, then in zip(machine, self._machine, strict=True))
            idle, stolen = round(idle_ticks / ticks, 4), round(stolen_ticks / ticks, 4)
        send_lags = sorted(self._send_lags)
        report = {
            "kind": "report",
            "at": round(time.time(), 6),
            "pid": os.getpid(),
            "interval_s": round(elapsed_s, 4),
            "cpu_s": round(cpu_s, 4),
            "cpu": round((cpu_s - self._cpu_s) / elapsed_s, 4),
            "machine_idle": idle,
            "machine_stolen": stolen,
            "loop_lag_s": round(max(self._lags, default=0.0), 6),
            "lag_p99_s": round(send_lags[int(len(send_lags) * 0.99)], 6) if send_lags else None,
            "stalled": bool(send_lags) and send_lags[-1] > STALL_S,
            "due": self.due,
            "sent": self.sent,
            "dropped": self.dropped,
            "in_flight": in_flight,
        }
        self._at, self._cpu_s, self._machine, self._lags = at, cpu_s, machine, []
        self._send_lags = []
        return report
