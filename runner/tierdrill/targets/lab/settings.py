"""What remedies leave changed in the lab: read before it is changed, put back, and seen to be back.

The order of such an undo has the kind `remedy` and the setting with what it was before. Witnesses: the gateways
themselves for what they were told, the control plane for cordons and places.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from tierdrill.lab.client import LabClient, LabError
from tierdrill.remedies.remedy import GATEWAY_KINDS, UNTOLD, Setting
from tierdrill.targets.base import FaultOrder, Mechanism, Proof, TargetError
from tierdrill.targets.lab.lab_fault import known, seen
from tierdrill.targets.lab.labs import lab_place
from tierdrill.targets.lab.leases import hold, release


class LabSettings:
    """Settings over one lab: what it would do by itself once nobody keeps the lease is what the undo would do."""

    mechanism = Mechanism("the lab's control API")
    lasting = frozenset({*GATEWAY_KINDS, "cordon", "places"})

    def __init__(self, client: LabClient, home: Path) -> None:
        self._client, self.place = client, lab_place(client.lab, home)

    def gateways(self) -> Sequence[str]:
        return sorted(self._client.lab.gateways)

    def read(self, setting: Setting) -> Any:
        with _as_target_error():
            return read(self._client, setting)

    def is_back(self, parameters: Mapping[str, Any]) -> Proof:
        with _as_target_error():
            return is_back(self._client, parameters)

    def hold(self, order: FaultOrder) -> None:
        with _as_target_error():
            hold(self._client, order, partial(put_back, p=order.parameters))

    def release(self, fault: str) -> None:
        release(self._client, fault)


@contextmanager
def _as_target_error() -> Iterator[None]:
    try:
        yield
    except LabError as error:
        raise TargetError(str(error)) from error


def read(client: LabClient, setting: Setting) -> Any:
    """What a setting is now, as plain data: at its gateway, of a node's cordons, or (places) who is away from home."""
    if setting.kind in GATEWAY_KINDS:
        return client.told(setting.kind, str(setting.gateway)).get(setting.name, UNTOLD[setting.kind])
    state = client.state()
    if setting.kind == "places":
        return _away(state)
    node = known({one["name"]: one for one in state["nodes"]}, setting.name, "node")
    whole = bool(node["cordoned"])
    return {
        "node": whole,
        "gpus": [gpu["index"] for gpu in node.get("gpus") or [] if gpu.get("cordoned") and not whole],
    }


def put_back(client: LabClient, p: Mapping[str, Any]) -> None:
    """Make it what it was; LabError where the lab refuses."""
    setting, before = Setting(**p["setting"]), p["before"]
    if setting.kind == "places":
        client.remedy("rebalance", {})
    elif setting.kind == "cordon":
        # Uncordoning a node uncordons its GPUs as well.
        if before["node"]:
            _controller(client, "cordon", {"node": setting.name})
        else:
            _controller(client, "uncordon", {"node": setting.name})
        for gpu in before["gpus"]:
            _controller(client, "cordon", {"node": setting.name, "gpu": gpu})
    elif _runs(client, str(setting.gateway)):
        client.to_gateways(setting.kind, {setting.name: before}, str(setting.gateway))


def is_back(client: LabClient, p: Mapping[str, Any]) -> Proof:
    """Whether it is what it was. A gateway that has ended took what it was told with it."""
    setting, before = Setting(**p["setting"]), p["before"]
    witness = f"{setting.gateway} itself" if setting.gateway else "the control plane"
    try:
        now = read(client, setting)
    except LabError:
        if setting.gateway is None or _runs(client, setting.gateway):
            raise
        return seen(True, "the lab's supervisor", f"{setting.gateway} has ended, and what it was told with it")
    if setting.kind == "places":
        return seen(not now, witness, f"away from home: {', '.join(now)}" if now else "every replica is at home")
    return seen(now == before, witness, f"{setting}: {_shown(now)}, before {_shown(before)}")


def _runs(client: LabClient, gateway: str) -> bool:
    return any(one["name"] == gateway and one["alive"] for one in client.status()["processes"])


def _controller(client: LabClient, verb: str, arguments: Mapping[str, Any]) -> None:
    answer = client.remedy(verb, arguments)
    if not answer.get("ok"):
        raise LabError(f"{verb}: {answer.get('reason', 'refused')}")


def _away(state: Mapping[str, Any]) -> list[str]:
    """Replicas without a place, or in another than their home though that could take them."""
    usable = {
        f"{node['name']}/{gpu['index']}" for node in state["nodes"] for gpu in node.get("gpus") or [] if gpu["usable"]
    }
    return sorted(
        one["name"]
        for one in state["replicas"]
        if one["node"] is None or (one["home"] in usable and f"{one['node']}/{one['gpu']}" != one["home"])
    )


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        gpus = ", ".join(map(str, value["gpus"]))
        return "cordoned" if value["node"] else f"GPU {gpus} cordoned" if gpus else "schedulable"
    return f"{value:g}" if isinstance(value, float) else "none" if value is None else str(value).lower()
