"""A lab in namespace mode: its links are the kernel's, and with its last process everything is gone."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.lab.kernel_hosts import means_or_skip
from tests.lab.test_supervisor import Lab, lab_config

from tierdrill.faults.known_kinds import KINDS
from tierdrill.lab.lab_config import AlertmanagerConfig, PrometheusConfig
from tierdrill.lab.lab_files import down_lab, lab_processes
from tierdrill.lab.network.namespace_hosts import NamespaceHosts
from tierdrill.lab.supervisor.lab_start import start_lab
from tierdrill.targets.base import FaultOrder, Proof
from tierdrill.targets.lab.fault_port import LabPort

pytestmark = pytest.mark.lab

LINK = {"source": "gateway-a", "destination": "node-1"}
WITHIN_S = 30.0


def until(true: Callable[[], bool], told: Callable[[], object] = lambda: "") -> None:
    give_up = time.monotonic() + WITHIN_S
    while not true():
        assert time.monotonic() < give_up, told()
        time.sleep(0.05)


def seen(look: Callable[[], Proof]) -> None:
    until(lambda: look().seen, look)


def in_networks(inodes: set[int]) -> list[str]:
    """Processes that are in one of these networks."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "ns" / "net").stat().st_ino in inodes:
                found.append(folder.name)
        except OSError:
            continue
    return found


def test_faults_are_the_kernels_and_nothing_outlives_the_lab(tmp_path: Path) -> None:
    means, config = means_or_skip(), lab_config("kernel")
    config = replace(
        config,
        means=means,
        nodes=config.nodes[:2],
        gateways=("gateway-a",),
        models=tuple(replace(model, replicas=2) for model in config.models[:2]),
        prometheus=PrometheusConfig(),
        alertmanager=AlertmanagerConfig(),
        startup_timeout_s=90.0,
        restart_backoff_s=1.0,
    )
    state, child = start_lab(config, tmp_path)
    try:
        lab, port = Lab(state), LabPort(tmp_path, "kernel")
        lab.all_ready()
        assert lab.complete().status_code == 200
        hosts = NamespaceHosts.of(Path(state.folder))
        networks = {Path(host.network).stat().st_ino for host in hosts.hosts.values()}
        assert len(networks) == 5 and len(in_networks(networks)) == 1 + 2 + 4

        def injected(kind: str, **parameters: object) -> FaultOrder:
            how = port.mechanisms()[kind]
            order = FaultOrder(f"r/{kind}", kind, "t", KINDS[kind].target_kind, how, parameters, 60.0)
            order = port.bind(order)
            port.inject(order)
            seen(lambda: port.landed(order, 0.0))
            return order

        for kind, more, means_of in (
            ("link-latency", {"delay_ms": 600}, means.delay),
            ("link-slow-handshake", {"handshake_ms": 600}, means.delay),
            ("link-bandwidth", {"bandwidth_kbps": 64}, means.rate),
            ("link-reset", {}, means.reset),
            ("link-partition", {}, means.drop),
            ("link-flap", {"period_ms": 1000, "down_percent": 50}, means.drop),
        ):
            order = injected(kind, **LINK, **more)
            assert means_of in order.mechanism.text and not order.mechanism.emulated
            assert [rule["mode"] for rule in lab.client.links()] != []
            port.revert(order)
            seen(lambda order=order: port.gone(order))  # type: ignore[misc]
        order = injected("dns-failure", gateway="gateway-a", silent=0)
        assert lab.complete().status_code == 200
        port.revert(order)
        seen(lambda: port.gone(order))
        link = [edge for edge in lab.client.edges() if LINK.items() <= edge.items()]
        order = injected("node-power-loss", node="node-1")
        host, _, number = link[0]["listen"].rpartition(":")
        with socket.create_connection((host, int(number)), timeout=0.5) as caller:
            caller.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            with pytest.raises(TimeoutError):
                caller.recv(1)
        port.revert(order)
        seen(lambda: port.gone(order))
        os.kill(state.supervisor.process.pid, signal.SIGKILL)
        until(lambda: not lab_processes(state.id), lambda: lab_processes(state.id))
        until(lambda: not in_networks(networks), lambda: in_networks(networks))
        assert down_lab(state) == []
    finally:
        child.stop()
        down_lab(state)
