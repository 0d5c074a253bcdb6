"""The endpoint pickers, stopped wherever they run: gateways that ask them and fail closed serve nobody."""

from __future__ import annotations

from tierdrill.targets.base import TargetError
from tierdrill.targets.kubernetes import drilled
from tierdrill.targets.kubernetes.agent_fault import (
    Aim,
    Found,
    agent_fault,
    container_of,
    host_of,
    kernel_sees,
    kernel_sees_none,
)
from tierdrill.targets.kubernetes.connect import path_of
from tierdrill.targets.kubernetes.kubernetes_fault import Parameters, Place
from tierdrill.targets.kubernetes.records import pod_of


def _aim(place: Place, p: Parameters) -> Found:
    gateways = place.settings.gateways
    if gateways is None or gateways.picker is None:
        raise TargetError("the environment names no kubernetes.gateways.picker")
    picker = gateways.picker
    found = [
        pod_of(raw)
        for namespace in picker.namespaces
        for raw in place.cluster.pages(path_of("pods", namespace), labels=picker.selector)
    ]
    pods = [one for one in found if one.ready]
    if not pods:
        raise TargetError("no endpoint picker is ready: its loss could not be told apart")
    drilled.refuse_pods(place, pods)
    aims = []
    for pod in pods:
        _, container = container_of(place, pod, None)
        aims.append(Aim(host_of(place, pod), "hang", {"pod": pod.uid, "container": container}, {}))
    return aims, {}


FAULT = agent_fault("SIGSTOP to every endpoint picker", _aim, kernel_sees, kernel_sees_none)
