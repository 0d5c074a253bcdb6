"""The node's emulated GPUs at work: watches the overrides, trips GPUs, writes and reads the kernel log, publishes
telemetry.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tierdrill.lab.lab_config import GpuConfig
from tierdrill.lab.node import gpu_errors as gpu
from tierdrill.lab.node import kernel_log as kmsg

OVERRIDES_FILE = "overrides.json"
UNHEALTHY = "unhealthy"
"""A folder with a file for each GPU that is not offered for new work, named by its index: a device plugin reads it."""
_LABELS = ("gpu", "UUID", "pci_bus_id", "device", "modelName", "hostname")
_READINGS = {
    "temperature_c": ("DCGM_FI_DEV_GPU_TEMP", "GPU temperature (in C), emulated."),
    "power_w": ("DCGM_FI_DEV_POWER_USAGE", "Power draw (in W), emulated."),
    "clock_mhz": ("DCGM_FI_DEV_SM_CLOCK", "SM clock frequency (in MHz), emulated."),
    "event_reasons": ("DCGM_FI_DEV_CLOCKS_EVENT_REASONS", "Current clock event reasons (bitmask), emulated."),
    "utilization": ("DCGM_FI_DEV_GPU_UTIL", "GPU utilization (in %), emulated."),
    "used_mib": ("DCGM_FI_DEV_FB_USED", "Framebuffer memory used (in MiB), emulated."),
    "free_mib": ("DCGM_FI_DEV_FB_FREE", "Framebuffer memory free (in MiB), emulated."),
    "pcie_replays": ("DCGM_FI_DEV_PCIE_REPLAY_COUNTER", "Total number of PCIe retries, emulated."),
    "nvlink_errors": ("DCGM_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL", "NVLink flow-control CRC errors, emulated."),
    "row_remap_failure": ("DCGM_FI_DEV_ROW_REMAP_FAILURE", "Whether remapping of rows has failed, emulated."),
    "row_remap_pending": ("DCGM_FI_DEV_ROW_REMAP_PENDING", "Whether a row is to be remapped at a reset, emulated."),
}
"""Of each field of Telemetry, dcgm-exporter's name and help."""

_BASE_CLOCK_MHZ = 1980
_IDLE_TEMPERATURE_C, _BUSY_TEMPERATURE_C = 34.0, 38.0
_IDLE_POWER_W, _BUSY_POWER_W = 92.0, 540.0
_log = logging.getLogger("tierdrill.gpu")


@dataclass(frozen=True)
class GpuUser:
    """A replica on a GPU."""

    name: str
    pid: int | None
    memory_gib: float
    busy: float  # used part of its slots


@dataclass(frozen=True)
class Telemetry:
    """What a GPU that answers reports."""

    temperature_c: float
    power_w: float
    clock_mhz: float
    event_reasons: int
    utilization: float
    used_mib: float
    free_mib: float
    pcie_replays: int
    nvlink_errors: int
    row_remap_failure: int
    row_remap_pending: int


def telemetry(
    spec: GpuConfig, settings: gpu.Settings, users: Iterable[GpuUser], pcie_replays: float = 0, nvlink_errors: float = 0
) -> Telemetry:
    """Plausible readings from the load, unless an override says otherwise."""
    present = list(users)
    load = max((user.busy for user in present), default=0.0)
    used = min(spec.memory_gib, sum(user.memory_gib for user in present)) * 1024
    temperature = _IDLE_TEMPERATURE_C + _BUSY_TEMPERATURE_C * load
    power = _IDLE_POWER_W + _BUSY_POWER_W * load * settings.clock_factor
    idle = gpu.IDLE_REASON if load == 0 else 0
    return Telemetry(
        temperature if settings.temperature_c is None else settings.temperature_c,
        power if settings.power_w is None else settings.power_w,
        _BASE_CLOCK_MHZ * settings.clock_factor,
        gpu.THROTTLES[settings.throttle] if settings.throttle else idle,
        100 * load if settings.utilization is None else settings.utilization,
        used,
        spec.memory_gib * 1024 - used,
        int(pcie_replays),
        int(nvlink_errors),
        int(settings.row_remap_failed),
        int(settings.row_remap_pending),
    )


class GpuBoard(Collector):
    def __init__(
        self, node: str, specs: list[GpuConfig], state_dir: Path, users: Callable[[int], list[GpuUser]]
    ) -> None:
        self.specs = specs
        self.error: str | None = None
        self._node = node
        self._dir = state_dir
        self._users = users
        self._booted_at = time.monotonic()
        self._tracked = {spec.index: gpu.Tracked() for spec in specs}
        self._seen: tuple[int, int, int] | None = None
        self._log = state_dir / kmsg.FILE_NAME
        self._follower = kmsg.Follower(self._log)
        self._xids = kmsg.XidReader()
        self._by_pci = {kmsg.kernel_pci(spec.pci_bus_id): spec.index for spec in specs}
        self._xid_lines: Counter[tuple[int, int]] = Counter()  # (GPU, xid), since boot

    def boot(self, boot_id: str) -> None:
        """Power on: volatile faults are gone, the kernel log begins anew in time, states are published."""
        kmsg.append(self._log, kmsg.format_line(0.0, f"tierdrill emulated kernel, boot {boot_id}"))
        self._follower.begin_at_end()
        self._xids = kmsg.XidReader()
        path = self._dir / OVERRIDES_FILE
        document: object = {}
        if path.exists():
            try:
                document = gpu.read_json(path)
            except gpu.OverrideError as error:
                _log.error("%s: left as it is", error)
        if not path.exists() or (isinstance(document, dict) and document != gpu.without_volatile(document)):
            gpu.write_json(path, gpu.without_volatile(document if isinstance(document, dict) else {}))
        for spec in self.specs:
            self._publish(spec)
        self.poll()

    def poll(self) -> bool:
        """Look for new overrides and read the kernel log on; True when there is news for the controller."""
        changed = self._poll_overrides()
        return self._read_log() or changed

    def _poll_overrides(self) -> bool:
        try:
            status = (self._dir / OVERRIDES_FILE).stat()
            seen = (status.st_mtime_ns, status.st_ino, status.st_size)
        except OSError as error:
            return self._reject(f"{OVERRIDES_FILE}: {error.strerror}")
        if seen == self._seen:
            return False
        self._seen = seen
        try:
            overrides = gpu.parse_overrides(gpu.read_json(self._dir / OVERRIDES_FILE), len(self.specs))
        except gpu.OverrideError as error:
            return self._reject(str(error))
        self.error = None
        changed = [self._advance(spec, gpu.settings_for(overrides, spec.index)) for spec in self.specs]
        return any(changed)

    def _read_log(self) -> bool:
        """Count the Xids that the log tells of, the drivers' own and anybody else's; True when a GPU's last one is new.

        The log is the only source, as for every monitor that reads it: what is not a line there has not happened.
        """
        told: Counter[tuple[int, int]] = Counter()
        last: dict[int, int] = {}
        for parsed in self._xids.read(self._follower.lines()):
            index = self._by_pci.get(parsed.pci_bus_id)
            if index is not None:
                told[index, parsed.xid] += 1
                last[index] = parsed.xid
        before = {index: self._tracked[index].last_xid for index in last}
        now = time.time()
        # The last one of each GPU comes last.
        for (index, xid), count in sorted(told.items(), key=lambda entry: last[entry[0][0]] == entry[0][1]):
            self._tracked[index] = gpu.reported(self._tracked[index], xid, now, count)
        self._xid_lines.update(told)
        return any(self._tracked[index].last_xid != xid for index, xid in before.items())

    def heartbeat(self) -> list[dict[str, Any]]:
        return [
            {
                "index": spec.index,
                "uuid": spec.uuid,
                "memory_gib": spec.memory_gib,
                # Where only the processes of the moment are hit, the GPU is well for those to come.
                "state": gpu.HEALTHY if settings.contained else settings.mode,
                "xid": self._tracked[spec.index].last_xid or None,
                "allocatable": settings.allocatable,
            }
            for spec in self.specs
            for settings in (self._tracked[spec.index].settings,)
        ]

    def status(self) -> list[dict[str, Any]]:
        """All there is to know; `telemetry` is what is exported, None for a GPU that reports nothing."""
        now = time.time()
        shown = []
        for spec, entry in zip(self.specs, self.heartbeat(), strict=True):
            tracked, reading = self._tracked[spec.index], self._reading(spec)
            shown.append(
                entry
                | {
                    "settings": asdict(tracked.settings),
                    "tripped_at": tracked.tripped_at,
                    "xid_counts": gpu.xid_counts(tracked, now),
                    "xid_lines": {xid: count for (at, xid), count in self._xid_lines.items() if at == spec.index},
                    "telemetry": None if reading is None else asdict(reading),
                }
            )
        return shown

    def state_file(self, index: int) -> Path:
        """Where replicas find the state of their GPU."""
        return self._dir / f"gpu-{index}.state"

    def collect(self) -> list[Metric]:
        """Telemetry in dcgm-exporter's names, and what the kernel log said.

        A GPU off the bus reports nothing but its Xids and DCGM's own word that its health is bad.
        """
        gauges = {key: GaugeMetricFamily(*named, labels=_LABELS) for key, named in _READINGS.items()}
        last_xid = GaugeMetricFamily(
            "DCGM_FI_DEV_XID_ERRORS",
            "Value of the last XID error encountered, emulated.",
            labels=(*_LABELS, "err_code", "err_msg"),
        )
        health = GaugeMetricFamily(
            "DCGM_EXP_GPU_HEALTH_STATUS", "GPU health: 0 pass, 10 warning, 20 failure, emulated.", labels=_LABELS
        )
        counts = GaugeMetricFamily(
            "DCGM_EXP_XID_ERRORS_COUNT",
            "Count of XID Errors within user-specified time window, emulated.",
            labels=(*_LABELS, "window_size_in_ms", "xid"),
        )
        offered = GaugeMetricFamily(
            "tierdrill_gpu_allocatable", "Whether the device plugin offers the GPU for work, emulated.", labels=_LABELS
        )
        now, window_ms = time.time(), str(int(gpu.XID_WINDOW_S * 1000))
        for spec in self.specs:
            tracked = self._tracked[spec.index]
            labels = [str(spec.index), spec.uuid, spec.pci_bus_id, f"nvidia{spec.index}", spec.model_name, self._node]
            if (reading := self._reading(spec)) is not None:
                for key, gauge in gauges.items():
                    gauge.add_metric(labels, getattr(reading, key))
            health.add_metric(labels, tracked.settings.health)
            offered.add_metric(labels, float(tracked.settings.allocatable))
            last = tracked.last_xid
            last_xid.add_metric([*labels, str(last), kmsg.describe(last)], last)
            for xid, count in gpu.xid_counts(tracked, now).items():
                counts.add_metric([*labels, window_ms, str(xid)], count)
        lines = CounterMetricFamily(
            "tierdrill_kernel_xid_lines", "XID lines read in the kernel log since boot.", labels=("node", "gpu", "xid")
        )
        for (index, xid), count in sorted(self._xid_lines.items()):
            lines.add_metric([self._node, str(index), str(xid)], count)
        return [*gauges.values(), last_xid, health, offered, counts, lines]

    def _reading(self, spec: GpuConfig) -> Telemetry | None:
        tracked = self._tracked[spec.index]
        if tracked.settings.mode in gpu.OFF_BUS_MODES:
            return None
        now = time.time()
        counted = gpu.pcie_replays(tracked, now), gpu.nvlink_errors(tracked, now)
        return telemetry(spec, tracked.settings, self._users(spec.index), *counted)

    def _advance(self, spec: GpuConfig, settings: gpu.Settings) -> bool:
        before = self._tracked[spec.index]
        after, xid = gpu.advance(before, settings, time.time())
        self._tracked[spec.index] = after
        if xid is not None:
            user = next(iter(self._users(spec.index)), None)
            line = kmsg.format_xid(
                time.monotonic() - self._booted_at,
                spec.pci_bus_id,
                xid,
                pid=None if user is None else user.pid,
                name=None if user is None else user.name,
            )
            kmsg.append(self._log, line)
            _log.warning("GPU %d: %s", spec.index, line)
        changed = before.settings != after.settings
        if changed:
            self._publish(spec)
        return changed

    def _publish(self, spec: GpuConfig) -> None:
        tracked = self._tracked[spec.index]
        gpu.write_json(self.state_file(spec.index), gpu.state_document(spec, tracked))
        marker = self._dir / UNHEALTHY / str(spec.index)
        marker.parent.mkdir(exist_ok=True)
        if tracked.settings.offered:
            marker.unlink(missing_ok=True)
        else:
            marker.touch()

    def _reject(self, reason: str) -> bool:
        if reason != self.error:
            _log.error("overrides rejected, the last good ones stay: %s", reason)
        self.error = reason
        return False
