"""When each alert fires, over made-up series, by promtool: the fault does, its blip twin does not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from monitoring_support import (
    Expected,
    Values,
    between,
    check_scenario,
    constant,
    counter,
    firing,
    leave_out_silent_rules,
    never,
    write_rules,
)

from tierdrill.monitoring.alert_names import INFRASTRUCTURE_LABELS

TOTAL_S = 40.0
FAULT_S = 20.0
BLIP_S = 1.5
BOOT_S = 1.0

Series = dict[str, Values]


def _requests(tier: str, bad: Values, good: Values, outcome: str = "error", code: str = "502") -> Series:
    return {
        f'tierdrill_requests_total{{gateway="gateway-a",tier="{tier}",outcome="ok",code="200"}}': counter(good),
        f'tierdrill_requests_total{{gateway="gateway-a",tier="{tier}",outcome="{outcome}",code="{code}"}}': counter(
            bad
        ),
    }


def _alive(node: str = "node-2", total_s: float = TOTAL_S) -> Series:
    """A node that the control plane calls ready and that exports metrics."""
    return {
        _ready(node): constant(1, total_s),
        _xid(node): constant(0, total_s),
    }


def _ready(node: str) -> str:
    return f'kube_node_status_condition{{node="{node}",condition="Ready",status="true"}}'


def _xid(node: str) -> str:
    return f'DCGM_FI_DEV_XID_ERRORS{{gpu="0",UUID="GPU-{node}-0",hostname="{node}"}}'


def _pod(replica: str, node: str) -> str:
    return f'kube_pod_status_ready{{pod="{replica}",node="{node}",model="assistant",tier="critical",condition="true"}}'


def _state(replica: str, state: str) -> str:
    return f'tierdrill_replica_state{{replica="{replica}",state="{state}"}}'


def _probe(replica: str, gateway: str = "gateway-a", node: str = "node-2") -> str:
    return f'tierdrill_upstream_probe_seconds{{gateway="{gateway}",node="{node}",replica="{replica}"}}'


def _up(replica: str, gateway: str = "gateway-a", node: str = "node-2") -> str:
    return f'tierdrill_upstream_up{{gateway="{gateway}",node="{node}",replica="{replica}"}}'


def _fires_at(at_s: float, alert: str, fires: int) -> list[Expected]:
    """A fault from 10 s to 30 s: silent before, firing from then on, resolved after. Its blip twin: never."""
    if not fires:
        return never(alert, 5, 39)
    before, after = never(alert, 5, at_s - 0.5), never(alert, 36, 39)
    return [*before, Expected(at_s, alert, 1), Expected(29, alert, 1), *after]


def test_rules_that_other_tests_leave_out_say_nothing_where_they_have_nothing_to_look_at(tmp_path: Path) -> None:
    paths = write_rules(tmp_path / "few")
    leave_out_silent_rules(paths, {"foreign"})
    groups = [group for path in paths for group in yaml.safe_load(path.read_text())["groups"]]
    few = {rule["alert"] for group in groups for rule in group["rules"]}
    assert {"Watchdog", "TelemetryAbsent"} <= few and len(few) < 6
    others = f'count({{__name__=~".+",__name__!="foreign",alertname!~"{"|".join(few)}"}}) or vector(0)'
    check_scenario(tmp_path, {"foreign": constant(1, TOTAL_S)}, [Expected(39, others, 0)], every_rule=True)


class TestBurn:
    """Critical promises 99.9%: 14.4x of 0.1% is 1.44%, over 12 s and 3 s."""

    def test_total_outage_pages_within_a_second(self, tmp_path: Path) -> None:
        series = _requests("critical", between(20, 40, TOTAL_S, 50, 0), between(20, 40, TOTAL_S, 0, 50))
        burn = firing("TierErrorBudgetBurn", tier="critical", severity="page", window="1h")
        check_scenario(tmp_path, series, [Expected(20, burn, 0), Expected(21.5, burn, 1)])

    def test_ten_percent_fires_when_the_arithmetic_says(self, tmp_path: Path) -> None:
        # 0.0144 x 12 s / 0.1 = 1.73 s, and two scrapes and an evaluation at the most.
        series = _requests("critical", between(20, 40, TOTAL_S, 5, 0), between(20, 40, TOTAL_S, 45, 50))
        burn = firing("TierErrorBudgetBurn", tier="critical", window="1h")
        check_scenario(tmp_path, series, [Expected(21, burn, 0), Expected(23.5, burn, 1)])

    def test_it_resolves_once_the_short_window_is_clean(self, tmp_path: Path) -> None:
        series = _requests("critical", between(20, 22, TOTAL_S, 50, 0), between(20, 22, TOTAL_S, 0, 50))
        burn = firing("TierErrorBudgetBurn", tier="critical", severity="page", window="1h")
        check_scenario(tmp_path, series, [Expected(22, burn, 1), Expected(26, burn, 0)])

    def test_one_percent_never_pages(self, tmp_path: Path) -> None:
        series = _requests("critical", between(15, 40, TOTAL_S, 0.5, 0), constant(49.5, TOTAL_S))
        burn = firing("TierErrorBudgetBurn", severity="page", window="1h")
        check_scenario(tmp_path, series, [Expected(at, burn, 0) for at in (20.0, 30.0, 39.5)])

    def test_a_fresh_prometheus_does_not_page(self, tmp_path: Path) -> None:
        # Errors from 4 s on: with [12s] meaning "since start", 100% would show at once.
        series = _requests("critical", between(4, 40, TOTAL_S, 50, 0), between(4, 40, TOTAL_S, 0, 50))
        burn = firing("TierErrorBudgetBurn", window="1h", tier="critical")
        check_scenario(tmp_path, series, [Expected(9, burn, 0), Expected(12.5, burn, 1)])

    def test_a_shed_request_is_bad_only_where_rejections_count(self, tmp_path: Path) -> None:
        bad, good = between(90, 120, 120, 50, 0), between(90, 120, 120, 0, 50)
        series = {
            **_requests("critical", bad, good, "rejected", "429"),
            **_requests("best-effort", bad, good, "rejected", "429"),
        }
        critical, rest = (
            firing("TierErrorBudgetBurn", tier="critical"),
            firing("TierErrorBudgetBurn", tier="best-effort"),
        )
        check_scenario(tmp_path, series, [Expected(110, critical, 2), Expected(110, rest, 0)])

    def test_a_client_that_left_counts_for_nothing(self, tmp_path: Path) -> None:
        series = _requests("critical", between(20, 40, TOTAL_S, 50, 0), constant(5, TOTAL_S), "cancelled", "499")
        check_scenario(tmp_path, series, [Expected(30, firing("TierErrorBudgetBurn"), 0)])

    def test_no_traffic_is_no_alert(self, tmp_path: Path) -> None:
        series = _requests("critical", constant(0, TOTAL_S), constant(0, TOTAL_S))
        check_scenario(tmp_path, series, [Expected(39, firing("TierErrorBudgetBurn"), 0)])


class TestLatency:
    @pytest.mark.parametrize(("lasts_s", "fires"), [(2.0, 0), (16.0, 1)])
    def test_slow_for_long_fires_and_a_blip_does_not(self, tmp_path: Path, lasts_s: float, fires: int) -> None:
        slow = between(20, 20 + lasts_s, TOTAL_S, 60, 0)
        name = 'tierdrill_request_duration_seconds_bucket{gateway="gateway-a",tier="critical",le="%s"}'
        fast = [60 - (value or 0) for value in slow]
        series: Series = {
            name % "0.25": counter(fast),
            name % "0.5": counter(fast),
            name % "1.0": counter(constant(60, TOTAL_S)),
            name % "+Inf": counter(constant(60, TOTAL_S)),
            'tierdrill_request_duration_seconds_count{gateway="gateway-a",tier="critical"}': counter(
                constant(60, TOTAL_S)
            ),
        }
        alert = firing("TierLatencyHigh", tier="critical", quantile="p99")
        expected = [*never(alert, 15, 25), Expected(30, alert, 1), Expected(33, alert, 1)]
        check_scenario(tmp_path, series, expected if fires else never(alert, 15, 39))


class TestNode:
    @pytest.mark.parametrize(("lasts_s", "fires"), [(BLIP_S, 0), (FAULT_S, 1)])
    def test_node_not_ready(self, tmp_path: Path, lasts_s: float, fires: int) -> None:
        series: Series = {_ready("node-2"): between(10, 10 + lasts_s, TOTAL_S, 0, 1)}
        alert = firing("NodeNotReady", node="node-2", severity="page")
        check_scenario(tmp_path, series, _fires_at(12, alert, fires))

    @pytest.mark.parametrize(("lasts_s", "free", "fires"), [(BLIP_S + 0.5, 0, 0), (FAULT_S, 9, 1), (FAULT_S, 11, 0)])
    def test_a_full_disk(self, tmp_path: Path, lasts_s: float, free: float, fires: int) -> None:
        disk = '{node="node-2",mountpoint="/var/lib/models"}'
        series: Series = {
            _ready("node-2"): constant(1, TOTAL_S),
            f"node_filesystem_size_bytes{disk}": constant(100, TOTAL_S),
            f"node_filesystem_avail_bytes{disk}": between(10, 10 + lasts_s, TOTAL_S, free, 80),
        }
        alert = firing("NodeDiskFull", node="node-2", severity="ticket")
        check_scenario(tmp_path, series, _fires_at(13, alert, fires))

    @pytest.mark.parametrize(("lasts_s", "fires"), [(BLIP_S + 0.5, 0), (FAULT_S, 1)])
    def test_a_tainted_gpu(self, tmp_path: Path, lasts_s: float, fires: int) -> None:
        series: Series = {
            'tierdrill_gpu_tainted{node="node-2",gpu="0",effect="NoExecute"}': between(
                10, 10 + lasts_s, TOTAL_S, 1, None
            )
        }
        alert = firing("DeviceTainted", node="node-2", gpu="0", effect="NoExecute", severity="ticket")
        check_scenario(tmp_path, series, _fires_at(13, alert, fires))

    @pytest.mark.parametrize(
        ("lasts_s", "off_s", "goes", "fires"),
        [(2.0, 30, 1, 0), (FAULT_S, 30, 1, 1), (FAULT_S, -30, 1, 1), (FAULT_S, 0.5, 1, 0), (FAULT_S, 30, 0, 0)],
    )
    def test_a_clock_that_is_off(
        self, tmp_path: Path, lasts_s: float, off_s: float, goes: int, fires: int
    ) -> None:
        offs = between(10, 10 + lasts_s, TOTAL_S, off_s, 0)
        times = [100 if off and not goes else place / 2 + (off or 0) for place, off in enumerate(offs)]
        series: Series = {_ready("node-2"): constant(1, TOTAL_S), 'node_time_seconds{node="node-2"}': times}
        alert = firing("NodeClockSkew", node="node-2", severity="ticket")
        check_scenario(tmp_path, series, _fires_at(13, alert, fires))

    @pytest.mark.parametrize(
        ("lasts_s", "others", "second", "fires"),
        [(BLIP_S, 0.02, 0.6, 0), (FAULT_S, 0.02, 0.6, 1), (FAULT_S, 0.02, 0.1, 0), (FAULT_S, 0.4, 0.6, 0)],
    )
    def test_a_starved_node(
        self, tmp_path: Path, lasts_s: float, others: float, second: float, fires: int
    ) -> None:
        # Two replicas on it, of which the second may be well; where the other nodes are late, too, it is no node.
        late = [("node-1", "a-0", others), ("node-3", "a-2", others), ("node-2", "a-1", 0.6), ("node-2", "b-1", second)]
        series: Series = {
            f'tierdrill_replica_late_seconds_total{{node="{node}",replica="{replica}"}}': counter(
                between(10, 10 + lasts_s, TOTAL_S, share, 0.02)
            )
            for node, replica, share in late
        }
        alert = firing("NodeStarved", node="node-2", severity="ticket")
        check_scenario(tmp_path, series, _fires_at(14.5, alert, fires))

    @pytest.mark.parametrize("lasts_s", [FAULT_S])
    def test_a_lost_node_is_neither_a_bad_link_nor_lost_telemetry(self, tmp_path: Path, lasts_s: float) -> None:
        # Power off at 10 s: probes time out at once, the scrape fails a second later, the control plane sees it after
        # its grace of 2 s and withdraws the endpoints then.
        end = 10 + lasts_s
        series: Series = {
            _ready("node-2"): between(12.5, end, TOTAL_S, 0, 1),
            _xid("node-2"): between(11, end, TOTAL_S, None, 0),
            'tierdrill_inflight{gateway="gateway-a",tier="critical"}': constant(0, TOTAL_S),
        }
        for gateway in ("gateway-a", "gateway-b"):
            for replica in ("assistant-0", "draft-0"):
                steps = zip(between(10.5, 13, TOTAL_S, 0.25, 0.003), between(13, end, TOTAL_S, None, 1), strict=True)
                series[_probe(replica, gateway)] = [value if listed is not None else None for value, listed in steps]
                steps = zip(between(10.5, 13, TOTAL_S, 0, 1), between(13, end, TOTAL_S, None, 1), strict=True)
                series[_up(replica, gateway)] = [value if listed is not None else None for value, listed in steps]
        for replica in ("assistant-0", "draft-0"):
            series[_pod(replica, "node-2")] = between(12.5, end, TOTAL_S, 0, 1)
            series[_state(replica, "exited")] = constant(0, TOTAL_S)
        quiet = [firing(name) for name in ("NetworkDegraded", "EndpointUnreachable", "TelemetryAbsent", "ReplicaDown")]
        moments = [10 + half / 2 for half in range(50)]
        expected = [Expected(at, alert, 0) for alert in quiet for at in moments]
        check_scenario(tmp_path, series, [*expected, Expected(15, firing("NodeNotReady"), 1)])


class TestReplica:
    @pytest.mark.parametrize(("lasts_s", "fires"), [(BLIP_S + 0.5, 0), (FAULT_S, 1)])
    @pytest.mark.parametrize(("state", "alert"), [("exited", "ReplicaDown"), ("unresponsive", "StalledReplica")])
    def test_crash_and_hang(self, tmp_path: Path, state: str, alert: str, lasts_s: float, fires: int) -> None:
        series: Series = {
            **_alive(),
            _pod("assistant-1", "node-2"): between(10, 10 + lasts_s, TOTAL_S, 0, 1),
            _state("assistant-1", state): between(10, 10 + lasts_s, TOTAL_S, 1, 0),
        }
        wanted = firing(alert, replica="assistant-1", node="node-2", model="assistant", tier="critical")
        other = firing("StalledReplica" if alert == "ReplicaDown" else "ReplicaDown")
        expected = _fires_at(13, wanted, fires)
        check_scenario(tmp_path, series, [*expected, *never(other, 10, 39)])

    def test_a_replica_on_a_lost_node_is_the_nodes_alert(self, tmp_path: Path) -> None:
        series: Series = {
            _ready("node-2"): between(10, 30, TOTAL_S, 0, 1),
            _pod("assistant-1", "node-2"): between(10, 30, TOTAL_S, 0, 1),
            _state("assistant-1", "exited"): between(10, 30, TOTAL_S, 1, 0),
        }
        check_scenario(tmp_path, series, [Expected(20, firing("ReplicaDown"), 0)])

    def test_a_replica_whose_gpu_failed_is_neither(self, tmp_path: Path) -> None:
        series: Series = {
            **_alive(),
            _pod("assistant-1", "node-2"): between(10, 30, TOTAL_S, 0, 1),
            _state("assistant-1", "exited"): constant(0, TOTAL_S),
            _state("assistant-1", "unresponsive"): constant(0, TOTAL_S),
        }
        both = [Expected(20, firing("ReplicaDown"), 0), Expected(20, firing("StalledReplica"), 0)]
        check_scenario(tmp_path, series, both)

    @pytest.mark.parametrize(("lasts_s", "fires"), [(BLIP_S + 1.5, 0), (FAULT_S, 1)])
    def test_wrong_answers(self, tmp_path: Path, lasts_s: float, fires: int) -> None:
        labels = 'replica="assistant-1",node="node-2",gpu="0",model="assistant",tier="critical"'
        series: Series = {
            **_alive(),
            f"tierdrill_replica_answers_right{{{labels}}}": between(10, 10 + lasts_s, TOTAL_S, 0, 1),
        }
        wanted = firing("ReplicaAnswersWrong", replica="assistant-1", node="node-2", model="assistant", tier="critical")
        check_scenario(tmp_path, series, _fires_at(14, wanted, fires))

    @pytest.mark.parametrize(
        ("wrong", "seconds", "drifted", "damaged"),
        [
            ({"assistant-0": "b", "assistant-1": "b"}, FAULT_S, 1, 0),
            ({"assistant-0": "b", "assistant-1": "b"}, 2.5, 0, 0),
            ({"assistant-0": "b", "assistant-1": "c"}, FAULT_S, 0, 2),
            ({"assistant-0": "b"}, FAULT_S, 0, 1),
        ],
    )
    def test_a_drift_is_told_from_damage_by_whether_all_answer_alike(
        self, tmp_path: Path, wrong: dict[str, str], seconds: float, drifted: int, damaged: int
    ) -> None:
        labels = 'node="node-2",gpu="1",model="assistant",tier="critical"'
        series: Series = {}
        for replica in ("assistant-0", "assistant-1"):
            name = f'tierdrill_replica_answers_right{{replica="{replica}",{labels},answers="%s"}}'
            right, until = constant(1, TOTAL_S), 10 + seconds
            if replica in wrong:
                right = between(10, until, TOTAL_S, None, 1)
                series[name % wrong[replica]] = between(10, until, TOTAL_S, 0, None)
            series[name % "a"] = right
        drift = firing("ModelAnswersDrifted", model="assistant", tier="critical", severity="page")
        damage = firing("ReplicaAnswersWrong", model="assistant")
        expected = [*_fires_at(14, drift, drifted), Expected(20, damage, damaged), *never(damage, 36, 39)]
        check_scenario(tmp_path, series, expected)

    @pytest.mark.parametrize(("lasts_s", "replica", "fires"), [(5.0, 1, 0), (FAULT_S, 1, 1), (FAULT_S, 0, 0)])
    def test_golden_requests_tell_what_no_replica_does(
        self, tmp_path: Path, lasts_s: float, replica: float, fires: int
    ) -> None:
        own = 'replica="assistant-1",node="node-2",gpu="0",model="assistant",tier="critical",answers="a"'
        golden = 'tierdrill_golden_answer_right{gateway="gateway-%s",tier="critical",model="assistant"}'
        series: Series = {
            golden % "a": constant(1, TOTAL_S),
            golden % "b": between(10, 10 + lasts_s, TOTAL_S, 0, 1),
            f"tierdrill_replica_answers_right{{{own}}}": constant(replica, TOTAL_S),
        }
        wanted = firing("TierAnswersWrong", tier="critical", model="assistant", severity="page")
        check_scenario(tmp_path, series, _fires_at(16, wanted, fires))

    @pytest.mark.parametrize(("lasts_s", "state", "fires"), [(BLIP_S, 1, 0), (FAULT_S, 1, 1), (FAULT_S, 0, 0)])
    def test_a_cold_start_without_weights(self, tmp_path: Path, lasts_s: float, state: float, fires: int) -> None:
        labels = 'replica="assistant-1",node="node-2",model="assistant",tier="critical",store="store-a"'
        missing = f'tierdrill_replica_weights_missing{{{labels},reason="corrupt"}}'
        series: Series = {
            missing: between(10, 10 + lasts_s, TOTAL_S, 1, None),
            # One that serves, and cannot have the revision that was rolled out, is not blocked.
            _state("assistant-1", "blocked"): constant(state, TOTAL_S),
        }
        wanted = firing("ColdStartBlocked", replica="assistant-1", store="store-a", reason="corrupt", severity="page")
        check_scenario(tmp_path, series, _fires_at(13, wanted, fires))

    REPLICA_EJECTED = firing("ReplicaEjected", replica="assistant-1", node="node-2", model="assistant", tier="critical")

    def _ejected(self, here: Values, there: Values, ready: float = 1) -> Series:
        upstream = 'node="node-2",replica="assistant-1"'
        return {
            **_alive(),
            _pod("assistant-1", "node-2"): constant(ready, TOTAL_S),
            f'tierdrill_upstream_ejected{{gateway="gateway-a",{upstream}}}': here,
            f'tierdrill_upstream_ejected{{gateway="gateway-b",{upstream}}}': there,
        }

    @pytest.mark.parametrize(("lasts_s", "fires"), [(2.5, 0), (FAULT_S, 1)])
    def test_ejected_by_all_gateways_though_ready(self, tmp_path: Path, lasts_s: float, fires: int) -> None:
        there = between(10, 10 + lasts_s, TOTAL_S, 1, 0)
        here = list(there)
        for trial_s in (12, 16, 22):  # seen between two ejections
            here[round(trial_s / 0.5)] = 0
        check_scenario(tmp_path, self._ejected(here, there), _fires_at(15, self.REPLICA_EJECTED, fires))

    def test_ejected_by_one_gateway_is_the_paths_fault(self, tmp_path: Path) -> None:
        series = self._ejected(between(10, 30, TOTAL_S, 1, 0), constant(0, TOTAL_S))
        check_scenario(tmp_path, series, never(self.REPLICA_EJECTED, 5, 39))

    def test_ejected_and_not_ready_is_told_by_other_alerts(self, tmp_path: Path) -> None:
        both = between(10, 30, TOTAL_S, 1, 0)
        check_scenario(tmp_path, self._ejected(both, both, ready=0), never(self.REPLICA_EJECTED, 5, 39))

    @pytest.mark.parametrize(("lasts_s", "ready", "fires"), [(BLIP_S + 0.5, 1, 0), (FAULT_S, 1, 1), (FAULT_S, 0, 0)])
    def test_an_open_circuit(self, tmp_path: Path, lasts_s: float, ready: float, fires: int) -> None:
        series: Series = {
            **_alive(),
            _pod("assistant-0", "node-2"): constant(ready, TOTAL_S),
            'tierdrill_circuit_open{gateway="gateway-a",model="assistant"}': between(
                10, 10 + lasts_s, TOTAL_S, 1, 0
            ),
            'tierdrill_circuit_open{gateway="gateway-b",model="assistant"}': constant(0, TOTAL_S),
        }
        check_scenario(tmp_path, series, _fires_at(13, firing("CircuitOpen", model="assistant"), fires))


class TestGpu:
    LABELS = 'gpu="1",UUID="GPU-node-2-1",hostname="node-2",modelName="NVIDIA H100 80GB HBM3 (emulated)"'

    def _series(self, count: Values, clock: Values) -> Series:
        return {
            **_alive(),
            f'DCGM_EXP_XID_ERRORS_COUNT{{{self.LABELS},window_size_in_ms="300000",xid="79"}}': count,
            f"DCGM_FI_DEV_SM_CLOCK{{{self.LABELS}}}": clock,
        }

    @pytest.mark.parametrize(("lasts_s", "fires"), [(BLIP_S + 0.5, 0), (FAULT_S, 1)])
    def test_xid_79_and_no_clock(self, tmp_path: Path, lasts_s: float, fires: int) -> None:
        end = 10 + lasts_s
        series = self._series(between(10, 40, TOTAL_S, 1, None)[:-1], between(10, end, TOTAL_S, None, 1980))
        alert = firing("GpuFallenOffBus", node="node-2", gpu="1", UUID="GPU-node-2-1", severity="page")
        check_scenario(tmp_path, series, _fires_at(13, alert, fires))

    def test_a_gpu_that_works_again_after_xid_79_is_well(self, tmp_path: Path) -> None:
        series = self._series(constant(1, TOTAL_S), constant(1980, TOTAL_S))
        check_scenario(tmp_path, series, [Expected(30, firing("GpuFallenOffBus"), 0)])

    def test_no_telemetry_without_an_xid_is_no_gpu_fault(self, tmp_path: Path) -> None:
        series = self._series([None] * 81, between(10, 40, TOTAL_S, None, 1980))
        check_scenario(tmp_path, series, [Expected(30, firing("GpuFallenOffBus"), 0)])


class TestUnhealthy:
    LABELS = TestGpu.LABELS

    def _series(self, health: Values, xid: int) -> Series:
        return {
            **_alive(),
            f"DCGM_EXP_GPU_HEALTH_STATUS{{{self.LABELS}}}": health,
            f'DCGM_EXP_XID_ERRORS_COUNT{{{self.LABELS},xid="{xid}"}}': constant(1, TOTAL_S),
        }

    @pytest.mark.parametrize(("lasts_s", "fires"), [(BLIP_S + 0.5, 0), (FAULT_S, 1)])
    def test_a_failed_health_check_pages(self, tmp_path: Path, lasts_s: float, fires: int) -> None:
        series = self._series(between(10, 10 + lasts_s, TOTAL_S, 20, 0), 48)
        alert = firing("GpuUnhealthy", node="node-2", gpu="1", UUID="GPU-node-2-1", severity="page")
        check_scenario(tmp_path, series, _fires_at(13, alert, fires))

    @pytest.mark.parametrize(("health", "xid", "fires"), [(20, 119, 1), (20, 79, 0), (10, 94, 0), (0, 63, 0)])
    def test_what_asks_for_a_restart_or_has_an_alert_of_its_own_does_not(
        self, tmp_path: Path, health: int, xid: int, fires: int
    ) -> None:
        series = self._series(constant(health, TOTAL_S), xid)
        check_scenario(tmp_path, series, [Expected(30, firing("GpuUnhealthy"), fires)])


class TestRowRemap:
    @pytest.mark.parametrize(("lasts_s", "fires"), [(BLIP_S + 0.5, 0), (FAULT_S, 1)])
    def test_a_failed_remap_is_a_page_of_its_own(self, tmp_path: Path, lasts_s: float, fires: int) -> None:
        series = {
            **_alive(),
            f"DCGM_FI_DEV_ROW_REMAP_FAILURE{{{TestGpu.LABELS}}}": between(10, 10 + lasts_s, TOTAL_S, 1, 0),
            f"DCGM_EXP_GPU_HEALTH_STATUS{{{TestGpu.LABELS}}}": between(10, 10 + lasts_s, TOTAL_S, 20, 0),
        }
        alert = firing("RowRemapFailed", node="node-2", gpu="1", UUID="GPU-node-2-1", severity="page")
        check_scenario(tmp_path, series, [*_fires_at(13, alert, fires), *never(firing("GpuUnhealthy"), 5, 39)])


    @pytest.mark.parametrize(("lasts_s", "fires"), [(BLIP_S + 0.5, 0), (FAULT_S, 1)])
    def test_a_pending_remap_pages_nobody(self, tmp_path: Path, lasts_s: float, fires: int) -> None:
        pending = f"DCGM_FI_DEV_ROW_REMAP_PENDING{{{TestGpu.LABELS}}}"
        series = {**_alive(), pending: between(10, 10 + lasts_s, TOTAL_S, 1, 0)}
        alert = firing("RowRemapPending", node="node-2", gpu="1", UUID="GPU-node-2-1", severity="info")
        check_scenario(tmp_path, series, [*_fires_at(13, alert, fires), *never(firing("RowRemapFailed"), 5, 39)])


class TestWithdrawn:
    @pytest.mark.parametrize(("health", "rank", "fires"), [(0, 1, 1), (20, 1, 0), (0, None, 0)])
    def test_a_healthy_gpu_that_is_counted_out_with_a_replica_on_it(
        self, tmp_path: Path, health: float, rank: float | None, fires: int
    ) -> None:
        series = {
            **_alive(),
            f"tierdrill_gpu_allocatable{{{TestGpu.LABELS}}}": between(10, 30, TOTAL_S, 0, 1),
            f"DCGM_EXP_GPU_HEALTH_STATUS{{{TestGpu.LABELS}}}": between(10, 30, TOTAL_S, health, 0),
            'tierdrill_gpu_tier_rank{node="node-2",gpu="1",tier="standard"}': constant(rank, TOTAL_S),
        }
        alert = firing("GpuAllocatableDrop", node="node-2", gpu="1", UUID="GPU-node-2-1", severity="ticket")
        check_scenario(tmp_path, series, _fires_at(13, alert, fires))


class TestKvCache:
    @pytest.mark.parametrize(
        ("lasts_s", "used", "fires"), [(BLIP_S + 0.5, 1.0, 0), (FAULT_S, 1.0, 1), (FAULT_S, 0.85, 0)]
    )
    def test_a_cache_that_stays_full_opens_a_ticket(
        self, tmp_path: Path, lasts_s: float, used: float, fires: int
    ) -> None:
        where = 'replica="assistant-1",node="node-2",gpu="1",model="assistant",tier="critical",answers="a"'
        cache = between(10, 10 + lasts_s, TOTAL_S, used, 0.4)
        series = {
            **_alive(),
            'vllm:kv_cache_usage_perc{model_name="assistant",replica="assistant-1"}': cache,
            'vllm:kv_cache_usage_perc{model_name="assistant",replica="assistant-2"}': constant(0.5, TOTAL_S),
            f"tierdrill_replica_answers_right{{{where}}}": constant(1, TOTAL_S),
        }
        alert = firing("KvCachePressure", node="node-2", gpu="1", severity="ticket")
        check_scenario(tmp_path, series, [*never(alert, 5, 15), Expected(19, alert, fires), Expected(39, alert, 0)])


class TestNvlink:
    @pytest.mark.parametrize(
        ("lasts_s", "per_second", "fires"), [(BLIP_S + 0.5, 250, 0), (FAULT_S, 250, 1), (FAULT_S, 50, 0)]
    )
    def test_links_with_many_errors_open_a_ticket(
        self, tmp_path: Path, lasts_s: float, per_second: float, fires: int
    ) -> None:
        errors = counter(between(10, 10 + lasts_s, TOTAL_S, per_second, 0))
        series = {**_alive(), f"DCGM_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL{{{TestGpu.LABELS}}}": errors}
        alert = firing("NvlinkErrors", node="node-2", gpu="1", UUID="GPU-node-2-1", severity="ticket")
        check_scenario(tmp_path, series, [*never(alert, 5, 15.5), Expected(19, alert, fires), Expected(39, alert, 0)])


class TestPcieReplays:
    @pytest.mark.parametrize(
        ("lasts_s", "per_second", "fires"), [(BLIP_S + 0.5, 20, 0), (FAULT_S, 20, 1), (FAULT_S, 0.1, 0)]
    )
    def test_a_link_that_replays_opens_a_ticket(
        self, tmp_path: Path, lasts_s: float, per_second: float, fires: int
    ) -> None:
        replays = counter(between(10, 10 + lasts_s, TOTAL_S, per_second, 0))
        series = {**_alive(), f"DCGM_FI_DEV_PCIE_REPLAY_COUNTER{{{TestGpu.LABELS}}}": replays}
        alert = firing("PcieReplayHigh", node="node-2", gpu="1", UUID="GPU-node-2-1", severity="ticket")
        check_scenario(tmp_path, series, [*never(alert, 5, 15.5), Expected(18, alert, fires), Expected(39, alert, 0)])


class TestPowerCap:
    LABELS = TestGpu.LABELS

    @pytest.mark.parametrize(
        ("reasons", "mhz", "fires"), [(0x04, 990, 1), (0x44, 990, 1), (0x04, 1800, 0), (0x40, 990, 0), (0x00, 990, 0)]
    )
    def test_a_limit_that_makes_it_slow_opens_a_ticket(
        self, tmp_path: Path, reasons: int, mhz: int, fires: int
    ) -> None:
        series = {
            **_alive(),
            f"DCGM_FI_DEV_SM_CLOCK{{{self.LABELS}}}": between(10, 40, TOTAL_S, mhz, 1980),
            f"DCGM_FI_DEV_CLOCKS_EVENT_REASONS{{{self.LABELS}}}": between(10, 40, TOTAL_S, reasons, 1),
        }
        alert = firing("GpuPowerCap", node="node-2", gpu="1", UUID="GPU-node-2-1", severity="ticket")
        check_scenario(tmp_path, series, [*never(alert, 5, 12.5), Expected(30, alert, fires)])


class TestXidNoise:
    """500 lines of XID 45 on every GPU: a job's end, and the reason why 77 healthy nodes were once taken out."""

    LABELS = 'gpu="%d",UUID="GPU-node-2-%d",hostname="node-2"'

    def _noise(self) -> Series:
        series: Series = {
            _ready("node-2"): constant(1, TOTAL_S),
            'tierdrill_inflight{gateway="gateway-a",tier="critical"}': constant(0, TOTAL_S),
        }
        for gpu in (0, 1):
            labels = self.LABELS % (gpu, gpu)
            series[f'DCGM_EXP_XID_ERRORS_COUNT{{{labels},xid="45"}}'] = between(10, 40, TOTAL_S, 500, None)
            series[f'DCGM_FI_DEV_XID_ERRORS{{{labels},err_code="45"}}'] = between(10, 40, TOTAL_S, 45, None)
            series[f'DCGM_FI_DEV_XID_ERRORS{{{labels},err_code="0"}}'] = between(10, 41, TOTAL_S, None, 0)
            series[f"DCGM_FI_DEV_SM_CLOCK{{{labels}}}"] = constant(1980, TOTAL_S)
            series[f'tierdrill_kernel_xid_lines_total{{node="node-2",gpu="{gpu}",xid="45"}}'] = constant(500, TOTAL_S)
        return series

    def test_no_alert_fires(self, tmp_path: Path) -> None:
        names = set(INFRASTRUCTURE_LABELS) - {"Watchdog"}
        moments = [5 + half / 2 for half in range(60)]
        expected = [Expected(at, firing(name), 0) for name in sorted(names) for at in moments]
        check_scenario(tmp_path, self._noise(), expected)

    def test_a_79_among_the_lines_still_pages(self, tmp_path: Path) -> None:
        series, labels = self._noise(), self.LABELS % (1, 1)
        series[f'DCGM_EXP_XID_ERRORS_COUNT{{{labels},xid="79"}}'] = between(15, 41, TOTAL_S, 1, None)
        series[f"DCGM_FI_DEV_SM_CLOCK{{{labels}}}"] = between(15, 41, TOTAL_S, None, 1980)
        alert = firing("GpuFallenOffBus", node="node-2", gpu="1", severity="page")
        check_scenario(tmp_path, series, [*never(alert, 5, 17.5), Expected(18, alert, 1), Expected(39, alert, 1)])


class TestPolicy:
    """Nobody may preempt critical; and standard may try again a tenth of its requests, and ten more at each gateway."""

    @pytest.mark.parametrize(("seconds", "inverted", "fires"), [(FAULT_S, 3, 1), (BLIP_S, 3, 0), (FAULT_S, 1, 0)])
    @pytest.mark.parametrize(
        ("counted", "of"),
        [("preemptions", ""), ("rejections", ',reason="shed"'), ("rejections", ',reason="residency"')],
    )
    def test_the_most_important_tier_that_loses_its_slots(
        self, tmp_path: Path, seconds: float, inverted: int, fires: int, counted: str, of: str
    ) -> None:
        series = {
            f'tierdrill_{counted}_total{{gateway="gateway-a",tier="{tier}"{of}}}': counter(rates)
            for tier, rates in {
                "critical": between(10, 10 + seconds, TOTAL_S, 5, 0),
                "best-effort": constant(9, TOTAL_S),
            }.items()
        }
        rank = between(10, 10 + seconds, TOTAL_S, inverted, 1)
        fires *= "residency" not in of
        series['tierdrill_tier_rank{gateway="gateway-a",tier="critical"}'] = rank
        check_scenario(tmp_path, series, _fires_at(13.5, firing("TierInversion", tier="critical"), fires))

    @pytest.mark.parametrize(
        ("seconds", "reason", "fires"),
        [(FAULT_S, "quarantined", 1), (BLIP_S, "quarantined", 0), (FAULT_S, "shed", 0)],
    )
    def test_what_ends_replicas_and_comes_again(
        self, tmp_path: Path, seconds: float, reason: str, fires: int
    ) -> None:
        labels = f'gateway="gateway-a",tier="best-effort",reason="{reason}"'
        rates = between(10, 10 + seconds, TOTAL_S, 1, 0)
        alert = firing("PoisonRequests", tier="best-effort", severity="ticket")
        expected = _fires_at(16.5, alert, fires)
        check_scenario(tmp_path, {f"tierdrill_rejections_total{{{labels}}}": counter(rates)}, expected)

    @pytest.mark.parametrize(
        ("seconds", "retries", "fires"), [(FAULT_S, 30, 1), (BLIP_S, 30, 0), (FAULT_S, 5, 0)]
    )
    def test_more_retries_than_the_budget(self, tmp_path: Path, seconds: float, retries: float, fires: int) -> None:
        labels = 'gateway="gateway-a",tier="standard"'
        series = {
            **_requests("standard", constant(0, 60), constant(45, 60)),
            f'tierdrill_inflight{{{labels}}}': constant(1, 60),
            f'tierdrill_retries_total{{{labels},reason="5xx"}}': counter(between(20, 20 + seconds, 60, retries, 0)),
        }
        alert = firing("RetryAmplification", tier="standard", severity="ticket")
        expected = [*never(alert, 5, 22), Expected(28, alert, fires), Expected(38, alert, fires), *never(alert, 45, 59)]
        check_scenario(tmp_path, series, expected if fires else never(alert, 5, 59))


class TestThrottle:
    LABELS = 'gpu="%s",UUID="GPU-node-2-%s",hostname="node-2"'

    def _series(self, reasons: Values, ranks: Mapping[str, int], gpu: str = "1") -> Series:
        labels = self.LABELS % (gpu, gpu)
        return {
            **_alive(),
            f"DCGM_FI_DEV_CLOCKS_EVENT_REASONS{{{labels}}}": reasons,
            f"DCGM_FI_DEV_SM_CLOCK{{{labels}}}": [792 if value and value > 1 else 1980 for value in reasons],
            **{
                f'tierdrill_gpu_tier_rank{{node="node-2",gpu="{gpu}",tier="{tier}"}}': constant(rank, TOTAL_S)
                for tier, rank in ranks.items()
            },
        }

    @pytest.mark.parametrize(
        ("ranks", "severity"),
        [({"critical": 1, "best-effort": 3}, "page"), ({"standard": 2}, "ticket"), ({}, "ticket")],
    )
    @pytest.mark.parametrize(("lasts_s", "fires"), [(BLIP_S + 0.5, 0), (FAULT_S, 1)])
    def test_heat_pages_where_the_first_tier_is_served(
        self, tmp_path: Path, ranks: dict[str, int], severity: str, lasts_s: float, fires: int
    ) -> None:
        series = self._series(between(10, 10 + lasts_s, TOTAL_S, 0x48, 1), ranks)
        alert = firing("GpuThermalThrottle", node="node-2", gpu="1", UUID="GPU-node-2-1", severity=severity)
        other = firing("GpuThermalThrottle", severity="ticket" if severity == "page" else "page")
        check_scenario(tmp_path, series, [*_fires_at(13, alert, fires), *never(other, 5, 39)])

    def test_a_gpu_must_stay_cool_before_it_is_well_again(self, tmp_path: Path) -> None:
        series = self._series(between(10, 30, TOTAL_S, 0x48, 1), {"critical": 1})
        alert = firing("GpuThermalThrottle")
        check_scenario(tmp_path, series, [Expected(32, alert, 1), Expected(35, alert, 0)])

    @pytest.mark.parametrize(
        ("reasons", "fires"),
        [(0x1, 0), (0x2, 0), (0x4, 0), (0x8, 0), (0x10, 0), (0x80, 0), (0x88, 0), (0x100, 0), (0x20, 1), (0x61, 1)],
    )
    def test_only_the_thermal_bits_are_heat(self, tmp_path: Path, reasons: int, fires: int) -> None:
        series = self._series(constant(reasons, TOTAL_S), {"critical": 1})
        check_scenario(tmp_path, series, [Expected(20, firing("GpuThermalThrottle"), fires)])

    def test_other_gpus_of_the_node_are_cool(self, tmp_path: Path) -> None:
        series = {
            **self._series(constant(0x48, TOTAL_S), {"critical": 1}),
            **self._series(constant(0, TOTAL_S), {"critical": 1}, gpu="0"),
        }
        expected = [Expected(20, firing("GpuThermalThrottle"), 1), Expected(20, firing("GpuFallenOffBus"), 0)]
        check_scenario(tmp_path, series, expected)


class TestRouter:
    def _series(self, up: Values, fail_open: Values, gateway: str = "gateway-a") -> Series:
        return {
            f'tierdrill_picker_up{{gateway="{gateway}"}}': up,
            f'tierdrill_flag{{gateway="{gateway}",flag="fail_open"}}': fail_open,
            f'tierdrill_flag{{gateway="{gateway}",flag="priority_queue"}}': constant(1, TOTAL_S),
        }

    @pytest.mark.parametrize(("lasts_s", "fires"), [(BLIP_S + 0.5, 0), (FAULT_S, 1)])
    @pytest.mark.parametrize(
        ("fail_open", "name", "severity"), [(0, "RouterFailsClosed", "page"), (1, "RouterFailsOpen", "ticket")]
    )
    def test_a_lost_picker(
        self, tmp_path: Path, fail_open: int, name: str, severity: str, lasts_s: float, fires: int
    ) -> None:
        up = between(10, 10 + lasts_s, TOTAL_S, 0, 1)
        series = {
            **self._series(up, constant(fail_open, TOTAL_S)),
            **self._series(constant(1, TOTAL_S), constant(0, TOTAL_S), "gateway-b"),
        }
        alert = firing(name, gateway="gateway-a", severity=severity)
        other = firing("RouterFailsOpen" if name == "RouterFailsClosed" else "RouterFailsClosed")
        quiet = [*never(other, 5, 39), *never(firing(name, gateway="gateway-b"), 5, 39)]
        check_scenario(tmp_path, series, [*_fires_at(13, alert, fires), *quiet])

    def test_opening_it_ends_the_page_and_leaves_a_ticket(self, tmp_path: Path) -> None:
        series = self._series(between(10, 35, TOTAL_S, 0, 1), between(20, 40, TOTAL_S, 1, 0))
        closed, opened = firing("RouterFailsClosed"), firing("RouterFailsOpen", gateway="gateway-a")
        page = [Expected(19, closed, 1), Expected(20.5, closed, 0)]
        check_scenario(tmp_path, series, [*page, Expected(24, opened, 1), Expected(36, opened, 0)])

    def test_a_gateway_that_is_gone_is_not_one_that_refuses(self, tmp_path: Path) -> None:
        gone = between(10, 40, TOTAL_S, None, 1)
        series = self._series(gone, [None if value is None else 0 for value in gone])
        expected = [Expected(30, firing(name), 0) for name in ("RouterFailsClosed", "RouterFailsOpen")]
        check_scenario(tmp_path, series, expected)


class TestLink:
    def _link(self, probes: Mapping[str, Values], ups: Mapping[str, Values] | None = None) -> Series:
        series: Series = {**_alive()}
        for replica, values in probes.items():
            series[_pod(replica, "node-2")] = constant(1, TOTAL_S)
            series[_probe(replica)] = values
            series[_up(replica)] = (ups or {}).get(replica, constant(1, TOTAL_S))
            series[_probe(replica, "gateway-b")] = constant(0.004, TOTAL_S)
            series[_up(replica, "gateway-b")] = constant(1, TOTAL_S)
        return series

    @pytest.mark.parametrize(("lasts_s", "fires"), [(BLIP_S + 1.0, 0), (FAULT_S, 1)])
    def test_a_slow_link(self, tmp_path: Path, lasts_s: float, fires: int) -> None:
        slow = between(10, 10 + lasts_s, TOTAL_S, 0.25, 0.004)
        series = self._link({"assistant-1": slow, "draft-1": slow})
        alert = firing("NetworkDegraded", node="node-2", gateway="gateway-a", severity="ticket")
        expected = _fires_at(13.5, alert, fires)
        check_scenario(tmp_path, series, [*expected, Expected(20, firing("NetworkDegraded", gateway="gateway-b"), 0)])

    def test_one_slow_replica_is_not_a_slow_link(self, tmp_path: Path) -> None:
        series = self._link({"assistant-1": between(10, 30, TOTAL_S, 0.25, 0.004), "draft-1": constant(0.004, TOTAL_S)})
        check_scenario(tmp_path, series, [Expected(25, firing("NetworkDegraded"), 0)])

    def test_a_hung_replica_alone_on_its_node_is_not_a_slow_link(self, tmp_path: Path) -> None:
        series = self._link({"assistant-1": between(10, 30, TOTAL_S, 0.25, 0.004)})
        series[_pod("assistant-1", "node-2")] = between(10.5, 30, TOTAL_S, 0, 1)
        check_scenario(tmp_path, series, [Expected(25, firing("NetworkDegraded"), 0)])

    @pytest.mark.parametrize(("lasts_s", "fires"), [(BLIP_S + 1.0, 0), (FAULT_S, 1)])
    def test_a_cut_link(self, tmp_path: Path, lasts_s: float, fires: int) -> None:
        slow = between(10, 10 + lasts_s, TOTAL_S, 0.25, 0.004)
        down = between(10, 10 + lasts_s, TOTAL_S, 0, 1)
        names = ("assistant-1", "draft-1")
        series = self._link(dict.fromkeys(names, slow), dict.fromkeys(names, down))
        alert = firing("EndpointUnreachable", node="node-2", gateway="gateway-a")
        expected = _fires_at(13.5, alert, fires)
        check_scenario(
            tmp_path, series, [*expected, Expected(20, firing("EndpointUnreachable", gateway="gateway-b"), 0)]
        )

    @pytest.mark.parametrize(("lasts_s", "fires"), [(BLIP_S + 2.5, 0), (FAULT_S, 1)])
    def test_new_connections_that_take_long(self, tmp_path: Path, lasts_s: float, fires: int) -> None:
        names = ("assistant-1", "draft-1")
        series = self._link(dict.fromkeys(names, constant(0.004, TOTAL_S)))
        for name, gateway in ((name, gateway) for name in names for gateway in ("gateway-a", "gateway-b")):
            took = between(10, 10 + lasts_s, TOTAL_S, 0.25, 0.004)
            opened = _probe(name, gateway).replace("upstream_probe", "upstream_open")
            series[opened] = took if gateway == "gateway-a" else constant(0.004, TOTAL_S)
        alert = firing("HandshakesSlow", node="node-2", gateway="gateway-a", severity="ticket")
        quiet = [Expected(20, firing(name), 0) for name in ("NetworkDegraded", "EndpointUnreachable")]
        quiet.append(Expected(20, firing("HandshakesSlow", gateway="gateway-b"), 0))
        check_scenario(tmp_path, series, [*_fires_at(15, alert, fires), *quiet])
        for name in names:  # Where what is open is slow as well, the link is.
            series[_probe(name)] = between(10, 10 + lasts_s, TOTAL_S, 0.25, 0.004)
        check_scenario(tmp_path / "link", series, never(alert, 5, 39))

    @pytest.mark.parametrize(("downs", "also", "fires"), [(1, True, 0), (7, True, 1), (7, False, 0)])
    def test_a_link_that_comes_and_goes(self, tmp_path: Path, downs: int, also: bool, fires: int) -> None:
        # Down for 1 s of every 2.5 s: neither slow nor cut for long enough, and counted.
        turns: Values = [
            0 if 10 <= at < 10 + 2.5 * downs and (at - 10) % 2.5 < 1 else 1
            for at in (half / 2 for half in range(len(constant(1, TOTAL_S))))
        ]
        names = ("assistant-1", "draft-1")
        ups = {"assistant-1": turns, "draft-1": turns if also else constant(1, TOTAL_S)}
        series = self._link(dict.fromkeys(names, constant(0.004, TOTAL_S)), ups)
        alert = firing("LinkFlapping", node="node-2", gateway="gateway-a", severity="ticket")
        seen = [*never(alert, 5, 13), Expected(14, alert, 1), Expected(29, alert, 1), *never(alert, 34, 39)]
        others = (firing("EndpointUnreachable"), firing("LinkFlapping", gateway="gateway-b"))
        quiet = [one for other in others for one in never(other, 5, 39)]
        check_scenario(tmp_path, series, [*(seen if fires else never(alert, 5, 39)), *quiet])


class TestNames:
    @pytest.mark.parametrize(("lasts_s", "fires"), [(BLIP_S + 0.5, 0), (FAULT_S, 1)])
    @pytest.mark.parametrize(
        ("series", "labels"),
        [
            ("tierdrill_resolver_failing", {"gateway": "gateway-a"}),
            ("tierdrill_upstream_misdirected", {"node": "node-1", "replica": "assistant-0"}),
        ],
    )
    def test_a_ticket_names_what_cannot_be_looked_up_or_leads_elsewhere(
        self, tmp_path: Path, series: str, labels: dict[str, str], lasts_s: float, fires: int
    ) -> None:
        alert = firing("EndpointMisdirected" if "replica" in labels else "ResolverFailing", **labels)
        told = ",".join(f'{name}="{value}"' for name, value in {"gateway": "gateway-a", **labels}.items())
        seen = {f"{series}{{{told}}}": between(10, 10 + lasts_s, TOTAL_S, 1, 0)}
        check_scenario(tmp_path, seen, _fires_at(13.5, alert, fires))


class TestCapacity:
    def _slots(self, ready: Values, starting: Values) -> Series:
        name = 'tierdrill_serving_slots{tier="critical",model="assistant",state="%s"}'
        return {
            name % "ready": ready,
            name % "desired": constant(80, TOTAL_S),
            _state("assistant-1", "starting"): starting,
        }

    def test_lost_capacity(self, tmp_path: Path) -> None:
        series = self._slots(between(10, 30, TOTAL_S, 56, 80), constant(0, TOTAL_S))
        alert = firing("ServingCapacityLow", severity="ticket")
        seen = [Expected(11.5, alert, 0), Expected(12, alert, 1), Expected(32.5, alert, 1), Expected(33.5, alert, 0)]
        check_scenario(tmp_path, series, seen)

    def test_what_is_on_its_way_and_too_little_does_not_lift_what_is_shed(self, tmp_path: Path) -> None:
        # Two replicas start elsewhere, and with them it is still too little: the alert does not blink meanwhile.
        series = self._slots(between(10, 30, TOTAL_S, 56, 80), between(15, 17, TOTAL_S, 1, 0))
        alert = firing("ServingCapacityLow")
        check_scenario(tmp_path, series, [Expected(12 + half / 2, alert, 1) for half in range(36)])

    def test_one_replica_of_ten_is_not_low(self, tmp_path: Path) -> None:
        series = self._slots(between(10, 30, TOTAL_S, 72, 80), constant(0, TOTAL_S))
        check_scenario(tmp_path, series, [Expected(20, firing("ServingCapacityLow"), 0)])

    def test_capacity_that_is_on_its_way_is_not_low(self, tmp_path: Path) -> None:
        # A node that lost power for a moment: its replicas are gone, then starting, then there.
        series = self._slots(between(10, 14, TOTAL_S, 56, 80), between(11, 14, TOTAL_S, 1, 0))
        moments = [10 + half / 2 for half in range(20)]
        check_scenario(tmp_path, series, [Expected(at, firing("ServingCapacityLow"), 0) for at in moments])

    def test_what_starts_for_ever_never_comes(self, tmp_path: Path) -> None:
        series = self._slots(between(10, 40, TOTAL_S, 56, 80), between(11, 40, TOTAL_S, 1, 0))
        alert = firing("ServingCapacityLow")
        check_scenario(tmp_path, series, [Expected(20, alert, 0), Expected(29, alert, 1)])


class TestSheddingAndTelemetry:
    def test_shedding_is_told_while_it_lasts(self, tmp_path: Path) -> None:
        series: Series = {
            'tierdrill_shed_fraction{gateway="gateway-a",tier="best-effort"}': between(10, 20, TOTAL_S, 0.5, 0),
            'tierdrill_shed_fraction{gateway="gateway-a",tier="critical"}': constant(0, TOTAL_S),
        }
        alert = firing("TierShedding", tier="best-effort", severity="info")
        check_scenario(tmp_path, series, [Expected(9, alert, 0), Expected(10.5, alert, 1), Expected(21, alert, 0)])

    def _all(self) -> Series:
        return {
            **_alive(),
            'tierdrill_inflight{gateway="gateway-a",tier="critical"}': constant(0, TOTAL_S),
            'tierdrill_inflight{gateway="gateway-b",tier="critical"}': constant(0, TOTAL_S),
        }

    def test_nothing_is_missed_when_all_is_there(self, tmp_path: Path) -> None:
        check_scenario(tmp_path, self._all(), [Expected(39, firing("TelemetryAbsent"), 0)])

    @pytest.mark.parametrize(
        ("series", "source"),
        [
            ('tierdrill_inflight{gateway="gateway-b",tier="critical"}', "gateway-b"),
            (_xid("node-2"), "node-2"),
            (_ready("node-2"), "controller"),
        ],
    )
    @pytest.mark.parametrize(("lasts_s", "fires"), [(4.0, 0), (20.0, 1)])
    def test_a_source_that_falls_silent(
        self, tmp_path: Path, series: str, source: str, lasts_s: float, fires: int
    ) -> None:
        every = self._all()
        every[series] = between(20, 20 + lasts_s, TOTAL_S, None, every[series][0])
        alert = firing("TelemetryAbsent", source=source, severity="ticket")
        fired = [*never(alert, 1, 24.5), Expected(25, alert, 1), Expected(39, alert, 1)]
        check_scenario(tmp_path, every, fired if fires else never(alert, 1, 39))

    @pytest.mark.parametrize(("lasts_s", "fires"), [(BLIP_S + 0.5, 0), (20.0, 1)])
    def test_an_exporter_whose_time_stands_still(self, tmp_path: Path, lasts_s: float, fires: int) -> None:
        clock = counter(between(10, 10 + lasts_s, TOTAL_S, 0, 1))
        series = {**self._all(), 'node_time_seconds{node="node-2"}': clock}
        alert = firing("TelemetryStale", source="node-2", severity="ticket")
        fired = [*never(alert, 1, 15.5), Expected(17, alert, fires), Expected(32, alert, 0)]
        check_scenario(tmp_path, series, [*fired, *never(firing("TelemetryAbsent"), 1, 39)])

    def test_a_node_that_is_lost_tells_nothing_old(self, tmp_path: Path) -> None:
        clock = [value if at < 20 else None for at, value in enumerate(counter(constant(1, TOTAL_S)))]
        series = {**_alive(), 'node_time_seconds{node="node-2"}': clock}
        check_scenario(tmp_path, series, never(firing("TelemetryStale"), 1, 39))

    @pytest.mark.parametrize(("lasts_s", "fires"), [(BLIP_S + 2.0, 0), (20.0, 1)])
    def test_a_gateway_that_is_gone_is_a_page_of_its_own(self, tmp_path: Path, lasts_s: float, fires: int) -> None:
        every = self._all()
        every['tierdrill_inflight{gateway="gateway-b",tier="critical"}'] = between(20, 20 + lasts_s, TOTAL_S, None, 0)
        every[_xid("node-2")] = between(20, 20 + lasts_s, TOTAL_S, None, 0)
        alert = firing("RouterDown", gateway="gateway-b", severity="page")
        other = firing("RouterDown", gateway="node-2")
        fired = [*never(alert, 1, 23.5), Expected(24, alert, 1), Expected(39, alert, 1), *never(other, 1, 39)]
        check_scenario(tmp_path, every, fired if fires else never(alert, 1, 39))

    @pytest.mark.parametrize("lost", [1, 2])
    @pytest.mark.parametrize(("lasts_s", "fires"), [(BLIP_S + 1.5, 0), (20.0, 1)])
    def test_a_state_store_without_a_quorum_is_a_page_and_a_member_a_ticket(
        self, tmp_path: Path, lost: int, lasts_s: float, fires: int
    ) -> None:
        every = self._all()
        for number in (1, 2, 3):
            labels = f'{{instance="state-store-{number}",store="state-store",job="state-store"}}'
            gone = number <= lost
            every["up" + labels] = between(20, 20 + lasts_s, TOTAL_S, 0, 1) if gone else constant(1, TOTAL_S)
            leads = between(20, 20 + lasts_s, TOTAL_S, None if gone else 0, 1)
            every["etcd_server_has_leader" + labels] = leads if lost > 1 or gone else constant(1, TOTAL_S)
        page = firing("StateQuorumLost", store="state-store", severity="page")
        ticket = firing("StateMemberDown", store="state-store", member="state-store-1", severity="ticket")
        alert, other = (page, ticket) if lost > 1 else (ticket, page)
        fired = [*never(alert, 1, 23.5), Expected(24, alert, 1), Expected(39, alert, 1)]
        check_scenario(tmp_path, every, [*(fired if fires else never(alert, 1, 39)), *never(other, 1, 39)])

    @pytest.mark.parametrize(("lasts_s", "fires"), [(BLIP_S, 0), (FAULT_S, 1)])
    @pytest.mark.parametrize("disk", [False, True])
    def test_a_member_that_waits_for_its_disk(self, tmp_path: Path, disk: bool, lasts_s: float, fires: int) -> None:
        series: Series = {}
        for number in (1, 2):
            labels = f'instance="state-store-{number}",store="state-store",job="state-store"'
            late = between(10, 10 + lasts_s, TOTAL_S, 0.3, 0.004) if number == 1 else constant(0.004, TOTAL_S)
            series[f"scrape_duration_seconds{{{labels}}}"] = constant(0.004, TOTAL_S) if disk else late
            bucket = f'etcd_disk_wal_fsync_duration_seconds_bucket{{{labels},le="%s"}}'
            slow = between(10, 10 + lasts_s, TOTAL_S, 0, 20) if disk and number == 1 else constant(20, TOTAL_S)
            series |= {bucket % "0.008": counter(slow), bucket % "0.512": counter(slow)}
            series |= {bucket % edge: counter(constant(20, TOTAL_S)) for edge in ("1.024", "+Inf")}
        alert = firing("StateMemberSlow", store="state-store", member="state-store-1", severity="ticket")
        other = firing("StateMemberSlow", member="state-store-2")
        fired = [*never(alert, 1, 15.5), Expected(18, alert, 1), Expected(29, alert, 1), *never(alert, 34, 39)]
        check_scenario(tmp_path, series, [*(fired if fires else never(alert, 1, 39)), *never(other, 1, 39)])

    @pytest.mark.parametrize("name", ["TelemetryAbsent", "RouterDown"])
    def test_a_gateways_pod_that_was_replaced_is_missed_by_nobody(self, tmp_path: Path, name: str) -> None:
        every = self._all()
        before, after = (f'tierdrill_inflight{{gateway="{one}",tier="critical"}}' for one in ("gateway-b", "gateway-9"))
        every[before] = between(20, TOTAL_S, TOTAL_S, None, 0)
        every[after] = between(0, 19, TOTAL_S, None, 0)
        check_scenario(tmp_path, every, never(firing(name), 0, 39))

    @pytest.mark.parametrize("name", ["TelemetryAbsent", "RouterDown"])
    def test_a_prometheus_that_has_just_started_misses_nothing(self, tmp_path: Path, name: str) -> None:
        late = {series: between(0, 10, TOTAL_S, None, values[0]) for series, values in self._all().items()}
        check_scenario(tmp_path, late, never(firing(name), 0, 39))

    def test_the_watchdog_fires_always(self, tmp_path: Path) -> None:
        series: Series = {"up": constant(1, TOTAL_S)}
        check_scenario(tmp_path, series, [Expected(at, firing("Watchdog"), 1) for at in (0.5, 20.0)])
