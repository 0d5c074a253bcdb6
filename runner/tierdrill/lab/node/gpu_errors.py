"""Emulated GPUs of a node: the overrides document, what it makes of each GPU, and when a GPU trips.

Overrides follow nvml-mock's semantics: `base` < `all` < `devices[i]`, re-read at run time, unknown keys rejected as a
whole (the last good document stays in force). Everything here is pure but for two small file helpers.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from tierdrill.faults.xids import XidAction, xid_action
from tierdrill.lab.lab_config import GpuConfig, LabConfigError, build
from tierdrill.process.safe_files import write_private

HEALTHY = "healthy"
XID_ERROR, DEFECTIVE = "xid_error", "defective"  # what an XID leaves behind, until a reset or for good
VOLATILE_MODES = ("lost", "fallen_off_bus", "ecc_uncorrectable", XID_ERROR)  # a reboot of the node clears them
MODES = (HEALTHY, *VOLATILE_MODES, DEFECTIVE)
_UNTIL_REBOOT = ("xid", "row_remap_pending", "kv_cache_taken")
OFF_BUS_MODES = ("lost", "fallen_off_bus")  # the device answers nobody any more: no telemetry either
_DEFAULT_XID = {"fallen_off_bus": 79, "ecc_uncorrectable": 48}
_RANGES: Mapping[str, tuple[float, float]] = {
    "xid": (1, 999),
    "temperature_c": (-40, 150),
    "power_w": (0, 2000),
    "clock_factor": (0, 1),
    "utilization": (0, 100),
    "pcie_replays_per_s": (0, 10_000),
    "kv_cache_taken": (0, 0.99),
    "nvlink_errors_per_s": (0, 10_000),
}
_T = TypeVar("_T")
XID_WINDOW_S = 300.0
THROTTLES: Mapping[str, int] = {"thermal": 0x48, "power": 0x04, "power_brake": 0x88}
"""Why clocks are held down, in nvml-mock's words, and the bits that NVML shows for it in the clocks' event reasons:
0x04 software power cap, 0x08 hardware slowdown, 0x40 hardware thermal slowdown, 0x80 power brake.
"""
HOLDER_READY, HOLDER_GO, HOLDER_HELD = "ready", "go", "held"
"""The words between the exporter's program that holds a change and who starts it: it can, it is to, it does."""
IDLE_REASON = 0x01
FAILURE = 20
"""DCGM's word for a GPU whose health is bad."""


class OverrideError(ValueError):
    """An overrides document that must not be used."""


@dataclass(frozen=True)
class Settings:
    """What overrides can set for a GPU; None leaves the emulation's own value."""

    mode: str = HEALTHY
    xid: int | None = None
    temperature_c: float | None = None
    power_w: float | None = None
    clock_factor: float = 1.0
    utilization: float | None = None
    throttle: str | None = None
    pcie_replays_per_s: float = 0.0
    kv_cache_taken: float = 0.0  # by a process that is none of its replicas
    nvlink_errors_per_s: float = 0.0
    row_remap_failed: bool = False
    row_remap_pending: bool = False
    allocatable: bool = True

    @property
    def effective_xid(self) -> int | None:
        """The Xid a trip into these settings reports."""
        return self.xid if self.xid is not None else _DEFAULT_XID.get(self.mode)

    @property
    def works(self) -> bool:
        """Whether CUDA calls of an already running process succeed."""
        return self.mode == HEALTHY

    @property
    def offered(self) -> bool:
        """Whether a device plugin offers it for new work, as far as it learns of its state."""
        return self.allocatable and self.health < FAILURE

    @property
    def contained(self) -> bool:
        """Whether only the processes of that moment are hit, and those started later are fine."""
        in_place = self.mode in ("ecc_uncorrectable", XID_ERROR)
        return in_place and xid_action(self.effective_xid) is XidAction.RESTART_APP

    @property
    def health(self) -> int:
        """DCGM's word for it: 0 pass, 10 warning, 20 failure."""
        return 0 if self.works else 10 if self.contained else FAILURE


@dataclass(frozen=True)
class Overrides:
    base: Mapping[str, Any] = field(default_factory=dict)
    all: Mapping[str, Any] = field(default_factory=dict)
    devices: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Tracked:
    """A GPU's present settings and its history since boot."""

    settings: Settings = field(default_factory=Settings)
    last_xid: int = 0
    tripped_at: float | None = None
    settings_at: float = 0.0  # unix time since which they are these
    replays_before: float = 0.0  # PCIe replays until then
    nvlink_errors_before: float = 0.0
    xids: tuple[tuple[float, int, int], ...] = ()  # (unix time, xid, how many from then on) within the window


def parse_overrides(document: object, gpu_count: int) -> Overrides:
    """Check a document completely; one bad key rejects all of it."""
    overrides = _built(Overrides, document, "overrides")
    for key in overrides.devices:
        if not key.isdecimal() or not int(key) < gpu_count:
            raise OverrideError(f"devices.{key}: this node has GPUs 0 to {gpu_count - 1}")
    devices = {f"devices.{key}": values for key, values in overrides.devices.items()}
    for where, values in {"base": overrides.base, "all": overrides.all, **devices}.items():
        _check(_built(Settings, values, where), where)
    return overrides


def settings_for(overrides: Overrides, index: int) -> Settings:
    """Merge base < all < devices[index]."""
    return Settings(**{**overrides.base, **overrides.all, **overrides.devices.get(str(index), {})})


def changed_settings(present: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A device's overrides after some of its keys were set; None takes a key away, the others stay as they are."""
    return {key: value for key, value in {**present, **changes}.items() if value is not None}


def change_overrides(
    path: Path, gpus: int, index: int, settings_after: Callable[[Mapping[str, Any]], Mapping[str, Any]]
) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """Let one device's overrides in a file become `settings_after(those that are there)`; the document, the settings.

    Settings that say no more than that it is healthy take the device away. OverrideError where they are refused.
    """
    document = read_json(path) if path.exists() else {}
    if not isinstance(document, dict):
        raise OverrideError(f"{path.name}: expected an object")
    devices = dict(document.get("devices") or {})
    settings = settings_after(devices.get(str(index)) or {})
    if set(settings) <= {"mode"} and settings.get("mode", HEALTHY) == HEALTHY:
        devices.pop(str(index), None)
    else:
        devices[str(index)] = dict(settings)
    document = {**document, "devices": devices}
    parse_overrides(document, gpus)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, document)
    return document, settings


def without_volatile(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document after a reboot: volatile modes are gone, Xids, which are events, and processes; a hot room stays."""

    def cleared(values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        return {
            key: value
            for key, value in values.items()
            if key not in _UNTIL_REBOOT and not (key == "mode" and value in VOLATILE_MODES)
        }

    return {
        section: {key: cleared(values) for key, values in content.items()}
        if section == "devices" and isinstance(content, Mapping)
        else cleared(content)
        for section, content in document.items()
    }


def advance(tracked: Tracked, settings: Settings, now: float) -> tuple[Tracked, int | None]:
    """Apply new settings. The second value is the Xid to report in the kernel log, once per trip.

    A trip is a change of (mode, xid) that names an Xid. An Xid with mode `healthy` is the kind nobody should act on
    (13, 43, 45, 63): it is reported, and the GPU works on.
    """
    replays, errors = pcie_replays(tracked, now), nvlink_errors(tracked, now)
    tracked = replace(tracked, replays_before=replays, nvlink_errors_before=errors, settings_at=now)
    before = (tracked.settings.mode, tracked.settings.effective_xid)
    after = (settings.mode, settings.effective_xid)
    if before == after:
        return replace(tracked, settings=settings), None
    return replace(tracked, settings=settings, tripped_at=None if settings.works else now), settings.effective_xid


def pcie_replays(tracked: Tracked, now: float) -> float:
    """How often its PCIe link had to send something again since boot."""
    return tracked.replays_before + tracked.settings.pcie_replays_per_s * max(0.0, now - tracked.settings_at)


def nvlink_errors(tracked: Tracked, now: float) -> float:
    """How many flits came over its NVLinks with a wrong checksum since boot."""
    return tracked.nvlink_errors_before + tracked.settings.nvlink_errors_per_s * max(0.0, now - tracked.settings_at)


def reported(tracked: Tracked, xid: int, now: float, count: int = 1) -> Tracked:
    """The kernel log told of an Xid, `count` times. Those of one second share an entry: a flood costs no more than a
    trickle.
    """
    recent = {(at, known): many for at, known, many in tracked.xids if now - at <= XID_WINDOW_S}
    begun = next((at for at, known in reversed(recent) if known == xid and now - at < 1.0), now)
    recent[begun, xid] = recent.get((begun, xid), 0) + count
    return replace(tracked, last_xid=xid, xids=tuple((at, known, many) for (at, known), many in recent.items()))


def xid_counts(tracked: Tracked, now: float) -> dict[int, int]:
    counts: dict[int, int] = {}
    for at, xid, many in tracked.xids:
        if now - at <= XID_WINDOW_S:
            counts[xid] = counts.get(xid, 0) + many
    return counts


def state_document(spec: GpuConfig, tracked: Tracked) -> dict[str, Any]:
    """What replicas on this GPU look at before each answer."""
    return {
        "index": spec.index,
        "uuid": spec.uuid,
        "mode": tracked.settings.mode,
        "xid": tracked.settings.effective_xid,
        "clock_factor": tracked.settings.clock_factor,
        "kv_cache_taken": tracked.settings.kv_cache_taken,
        "tripped_at": tracked.tripped_at,
        "contained": tracked.settings.contained,
    }


def cuda_error(state: Mapping[str, Any], started_at: float) -> str | None:
    """The CUDA error a process started at that time gets from a GPU in this state; None when the GPU serves it."""
    mode = state.get("mode", HEALTHY)
    if mode == HEALTHY:
        return None
    tripped_at = state.get("tripped_at")
    if state.get("contained") and tripped_at is not None and started_at > tripped_at:
        return None
    if mode == "ecc_uncorrectable":
        return "CUDA error: uncorrectable ECC error encountered (emulated)"
    if mode in (XID_ERROR, DEFECTIVE):
        return f"CUDA error: unspecified launch failure, Xid {state.get('xid')} (emulated)"
    if mode == "fallen_off_bus":
        return "CUDA error: unspecified launch failure, GPU has fallen off the bus (emulated)"
    return "CUDA error: device not ready, GPU is lost (emulated)"


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Replace a file atomically: readers see the old or the new one, never half."""
    write_private(path, json.dumps(document, indent=1) + "\n")


def read_json(path: Path) -> object:
    """Read a document; OverrideError says what is wrong with it."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OverrideError(f"{path.name}: {error}") from error


def _built(kind: type[_T], raw: object, where: str) -> _T:
    try:
        return build(kind, raw, where)
    except LabConfigError as error:
        raise OverrideError(str(error)) from error


def _check(settings: Settings, where: str) -> None:
    if settings.mode not in MODES:
        raise OverrideError(f"{where}.mode: {settings.mode!r} is none of {', '.join(MODES)}")
    if settings.throttle not in (None, *THROTTLES):
        raise OverrideError(f"{where}.throttle: {settings.throttle!r} is none of {', '.join(THROTTLES)}")
    for key, (low, high) in _RANGES.items():
        value = getattr(settings, key)
        if value is not None and (not low <= value <= high or (key == "clock_factor" and value == 0)):
            raise OverrideError(f"{where}.{key}: {value!r} is outside {low:g} to {high:g}")
