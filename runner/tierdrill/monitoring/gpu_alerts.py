"""The alerts of GPUs, by what dcgm-exporter says of them."""

from tierdrill.documents.models.environment import Clock
from tierdrill.documents.models.error_budget import scaled
from tierdrill.documents.models.units import promql_duration

Rule = tuple[str, str, str, str, str]
"""Name, expression, severity, summary and text of an alert."""

REPLAYS_MAX = 8
"""PCIe replays a minute. A link that is well has none for hours; audits of GPU clouds take more for a defect."""

NVLINK_ERRORS_MAX = 100
"""CRC errors a second. A few are mended by the link itself; audits of GPU clouds take more for a defect."""


def on_node(series: str) -> str:
    """What dcgm-exporter says of GPUs, labelled with its node as everything else is."""
    return f'label_replace({series}, "node", "$1", "hostname", "(.+)")'


_REPLAYS = "60 * rate(DCGM_FI_DEV_PCIE_REPLAY_COUNTER[%s])"
_NVLINK = "rate(DCGM_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL[%s])"
_WITHDRAWN = "tierdrill_gpu_allocatable == 0 unless on (UUID) DCGM_EXP_GPU_HEALTH_STATUS >= 20"
_XID_79 = 'DCGM_EXP_XID_ERRORS_COUNT{xid="79"}'
_REMAP_FAILED = "DCGM_FI_DEV_ROW_REMAP_FAILURE > 0"
# Both have an alert of their own: a reset does not help, or is not enough.
_UNHEALTHY = f"DCGM_EXP_GPU_HEALTH_STATUS >= 20 unless on (UUID) {_XID_79} > 0 unless on (UUID) {_REMAP_FAILED}"
# Where a replica is its node says, and how full its cache is it says itself.
_CACHE_FULL = (
    "max by (node, gpu) (max by (replica) (avg_over_time(vllm:kv_cache_usage_perc[%s]))"
    " * on (replica) group_right () (tierdrill_replica_answers_right >= bool 0)) > 0.9"
)
# A GPU that works hard is at its power limit (event reason 0x04) all the time; one that is capped is slow as well.
_CAPPED = (
    "DCGM_FI_DEV_SM_CLOCK < 0.7 * max_over_time(DCGM_FI_DEV_SM_CLOCK[10m])"
    " and on (UUID) floor(DCGM_FI_DEV_CLOCKS_EVENT_REASONS / 4) % 2 == 1"
)
_THROTTLE_SEVERITIES = (
    ("page", "it serves the most important tier", "and"),
    ("ticket", "it does not serve the most important tier", "unless"),
)


def gpu_alerts(clock: Clock) -> list[Rule]:
    return [
        (
            "GpuFallenOffBus",
            f"max by (node, gpu, UUID) ({on_node(_XID_79)} > 0"
            " unless on (UUID) DCGM_FI_DEV_SM_CLOCK)",
            "page",
            "GPU {{ $labels.gpu }} of {{ $labels.node }} has fallen off the bus (XID 79)",
            "The driver reported XID 79 and the GPU ({{ $labels.UUID }}) reports no clock any more. A reset does not"
            " bring it back (NVIDIA's action is RESTART_BM): cordon and drain the node, then reboot it. If XID 79"
            " returns after the reboot, take the node out of service.",
        ),
        (
            "GpuUnhealthy",
            f"max by (node, gpu, UUID) ({on_node(_UNHEALTHY)})",
            "page",
            "GPU {{ $labels.gpu }} of {{ $labels.node }} fails, and its bus is well",
            "Its health ({{ $labels.UUID }}) is a failure to DCGM: an uncorrectable memory error (XID 48, 95, 140), a"
            " hang (109, 119, 120), or the driver has lost it. It serves nothing until it is reset: cordon and drain"
            " the node, then reset the GPU or reboot. What is still bad afterwards is for NVIDIA's support.",
        ),
        (
            "GpuPowerCap",
            f"max by (node, gpu, UUID) ({on_node(_CAPPED)})",
            "ticket",
            "GPU {{ $labels.gpu }} of {{ $labels.node }} is held to {{ $value | humanize }} MHz by a power limit",
            "The clocks of the GPU ({{ $labels.UUID }}) are far below what they were, and it is not heat. Everything on"
            " it is slow and none of it fails; routing by latency keeps requests off it. Look at the limit (nvidia-smi"
            " -q -d POWER), the rack's budget and the power supplies.",
        ),
        *(_thermal_throttle(severity, whom, ranks) for severity, whom, ranks in _THROTTLE_SEVERITIES),
        (
            "PcieReplayHigh",
            f"max by (node, gpu, UUID) ({on_node(_REPLAYS % promql_duration(scaled('5m', clock)))}) > {REPLAYS_MAX:g}",
            "ticket",
            "The PCIe link of GPU {{ $labels.gpu }} of {{ $labels.node }} replays {{ $value | humanize }} a minute",
            "The GPU ({{ $labels.UUID }}) works and nothing is slow yet; a link like this ends with XID 79. Take the"
            " node out at the next quiet hour and have the card, its riser and its cables looked at.",
        ),
        (
            "NvlinkErrors",
            f"max by (node, gpu, UUID) ({on_node(_NVLINK % promql_duration(scaled('5m', clock)))}) >"
            f" {NVLINK_ERRORS_MAX:g}",
            "ticket",
            "The NVLinks of GPU {{ $labels.gpu }} of {{ $labels.node }} have {{ $value | humanize }} errors a second",
            "A replica that spans this GPU ({{ $labels.UUID }}) and others is slow or ends (XID 74); one that has the"
            " GPU for itself does not use these links and is well. Place nothing new there, move what spans GPUs, and"
            " leave the others where they are. Have the bridge or baseboard looked at.",
        ),
        (
            "GpuAllocatableDrop",
            f"max by (node, gpu, UUID) ({on_node(_WITHDRAWN)}) and on (node, gpu) tierdrill_gpu_tier_rank",
            "ticket",
            "GPU {{ $labels.gpu }} of {{ $labels.node }} is not offered any more, and a replica still has it",
            "The device plugin does not count the GPU ({{ $labels.UUID }}) any more though its health is good. What has"
            " it serves on, and cannot be started there again once it ends; nothing moves it by itself. Move it away,"
            " then restart the device plugin: it does not take a GPU back by itself.",
        ),
        (
            "KvCachePressure",
            _CACHE_FULL % promql_duration(scaled("5m", clock)),
            "ticket",
            "KV caches on GPU {{ $labels.gpu }} of {{ $labels.node }} are full",
            "A replica there has had no room for further requests for a while: it preempts, the least important first,"
            " and answers come late without an error. See who holds memory of the GPU (nvidia-smi"
            " --query-compute-apps): end what is none of its replicas. If nobody does, it is load: cap best effort."
            " A restart of the replicas would lose what they serve, and they might not find their memory again.",
        ),
        (
            "RowRemapPending",
            f"max by (node, gpu, UUID) ({on_node('DCGM_FI_DEV_ROW_REMAP_PENDING > 0')})",
            "info",
            "GPU {{ $labels.gpu }} of {{ $labels.node }} remaps a row of its memory at its next reset (XID 63)",
            "The GPU ({{ $labels.UUID }}) has found a bad row in time, as it should, and works on; new work may be"
            " placed on it. Nothing to do but to reset it when the node is free anyway.",
        ),
        (
            "RowRemapFailed",
            f"max by (node, gpu, UUID) ({on_node(_REMAP_FAILED)})",
            "page",
            "GPU {{ $labels.gpu }} of {{ $labels.node }} could not put a bad row of its memory out of use (XID 64)",
            "The GPU ({{ $labels.UUID }}) works after a reset, and the next access to the row is an uncorrectable error"
            " again. Take it out of the pool and leave it out: move its replicas away, reset it when the node is free,"
            " and have it replaced (RMA).",
        ),
    ]


def _thermal_throttle(severity: str, whom: str, ranks: str) -> Rule:
    """A GPU whose clocks heat holds down; how loud that is depends on the most important tier it serves.

    Bits 0x20 (software) and 0x40 (hardware) of NVML's clocks' event reasons are thermal slowdowns. The alert's value is
    the clock that is left.
    """
    reasons = "DCGM_FI_DEV_CLOCKS_EVENT_REASONS"
    hot = f"(floor({reasons} / 64) % 2 == 1 or floor({reasons} / 32) % 2 == 1)"
    clocks = on_node(f"DCGM_FI_DEV_SM_CLOCK and on (UUID) {hot}")
    return (
        "GpuThermalThrottle",
        f"max by (node, gpu, UUID) ({clocks}) {ranks} on (node, gpu) min by (node, gpu) (tierdrill_gpu_tier_rank) == 1",
        severity,
        "GPU {{ $labels.gpu }} of {{ $labels.node }} is throttled by heat, to {{ $value | humanize }} MHz",
        f"The driver holds the clocks of the GPU ({{{{ $labels.UUID }}}}) down because it is too hot; {whom}."
        " Everything on it is slow and none of it fails. Take its traffic away (weight 0 for this GPU) until it has"
        " cooled, and have the cooling looked at. A restart or a reboot does not cool it.",
    )
