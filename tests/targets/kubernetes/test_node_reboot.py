"""A node that boots by the environment's power commands: off and on, seen by its boot, and never left without power."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes_api import FakeApi
from tests.targets.kubernetes.conftest import NODES, RUN
from tierdrill.targets.base import FaultOrder, TargetError
from tierdrill.targets.kubernetes.fault_port import KUBERNETES_FAULTS, KubernetesPort

KIND, NODE = "node-reboot", f"{NODES}/worker-1"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/worker-1"
SWITCH = "import sys; from pathlib import Path; Path(sys.argv[1]).open('a').write(sys.argv[2] + ' ')"
STATE = "import sys; from pathlib import Path; print((Path(sys.argv[1]).read_text().split() or ['on'])[-1])"


@pytest.fixture
def switched(api: FakeApi, place: dict[str, Any], tmp_path: Path) -> Path:
    """What the power commands were told, in order; the node runs its first boot and renews its Lease."""
    told = tmp_path / "switched"
    told.touch()
    switch = [sys.executable, "-c", SWITCH, str(told)]
    state = [sys.executable, "-c", STATE, str(told), "{node}"]
    place["settings"]["power"] = {"off": [*switch, "off"], "on": [*switch, "on"], "state": state}
    api.change(NODE, lambda node: node["status"].update(nodeInfo={"bootID": "first"}))
    api.put(LEASE, {"spec": {"leaseDurationSeconds": 40, "renewTime": datetime.now(UTC).isoformat()}})
    return told


def test_a_node_boots_and_is_back(api: FakeApi, port: KubernetesPort, switched: Path) -> None:
    how, fault = port.mechanisms()[KIND], KUBERNETES_FAULTS[KIND]
    assert how.gone_within_s == 600.0
    order = port.bind(FaultOrder(f"{RUN}/{KIND}/node-1", KIND, "node-1", "node", how, {"node": "node-1"}, 5.0))
    p = {**order.parameters, "fault": order.fault, "run": RUN, "since": time.time()}
    assert not fault.landed(port.place, p).seen and not fault.gone(port.place, p).seen
    fault.inject(port.place, p)
    assert switched.read_text().split() == ["off", "on"]
    api.change(NODE, lambda node: node["status"].update(nodeInfo={"bootID": "second"}))
    assert fault.landed(port.place, p).seen and fault.gone(port.place, p).seen
    assert fault.revert(port.place, p) == "nothing to do, it boots by itself"
    switched.write_text("off ")
    fault.revert(port.place, p)
    assert switched.read_text().split() == ["off", "on"], "one that was left without power gets it"


def test_without_power_commands_it_is_refused(port: KubernetesPort, api: FakeApi) -> None:
    how = port.mechanisms()[KIND]
    with pytest.raises(TargetError, match=r"no kubernetes\.power"):
        port.bind(FaultOrder(f"{RUN}/{KIND}/node-1", KIND, "node-1", "node", how, {"node": "node-1"}, 5.0))
