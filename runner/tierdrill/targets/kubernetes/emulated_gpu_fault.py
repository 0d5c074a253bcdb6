"""Faults of emulated GPUs: a node's exporter of `tierdrill kubernetes demo` is told by a program beside it, and seen by
what it reports itself. Replicas that share its state fail or are slow as on such a GPU.

That program is started before the fault is due, for its start takes a second, and holds what it has changed as long as
this process writes to it: it takes it back when its input ends.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

from tierdrill.lab.node.gpu_errors import HOLDER_GO, HOLDER_HELD, HOLDER_READY, Settings
from tierdrill.targets.base import Mechanism, Proof, TargetError
from tierdrill.targets.kubernetes import drilled
from tierdrill.targets.kubernetes.api_errors import ApiError
from tierdrill.targets.kubernetes.connect import path_of
from tierdrill.targets.kubernetes.exec_stream import ExecStream
from tierdrill.targets.kubernetes.kubernetes_fault import KubernetesFault, Parameters, Place, find, seen
from tierdrill.targets.kubernetes.permissions import may
from tierdrill.targets.kubernetes.records import pod_of
from tierdrill.text import read_json

Changes = Mapping[str, Any]

Key = tuple[str, str]
"""A cluster and a fault's id."""

_HELD: dict[Key, ExecStream] = {}
"""The lines of this process to those that hold: they outlive each place that is opened."""
BEATS = 4
EXPORTER = "app.kubernetes.io/part-of=tierdrill-demo,app.kubernetes.io/component=gpu-exporter"
CHANGED_WITHIN_S = 15.0
WELL = Settings()
NEEDS = (
    *may("pods", "get", "create", subresource="exec", scope="exporter"),
    *may("pods", "get", subresource="proxy", scope="exporter"),
)


def emulated_gpu_fault(
    text: str,
    changes: Callable[[Parameters], Changes],
    also: Callable[[Place, Parameters, bool], Proof | None] = lambda place, p, there: None,
) -> KubernetesFault:
    """A fault that is these changes of a GPU's settings (see lab.node.gpu_errors). What is seen `also`, by somebody
    else, counts once the exporter tells of it.
    """

    def bind(place: Place, p: Parameters) -> Parameters:
        node = drilled.node(place, p["node"])
        at = {"host": node.name, "number": place.names.gpu_number(p["node"], p["gpu"])}
        told = {**p, **at}
        drilled.refuse_pods(place, [pod_of(_exporter(place, told))])
        at |= {"object": node.ref.plain(), "allocatable": gpus_offered(place, node.name)}
        at |= {"lines_before": _lines(_read(place, told), changes(p))}
        prepare(place, told, *_change(told, changes(p)))
        return at

    def inject(place: Place, p: Parameters) -> None:
        hold(place, p)

    def revert(place: Place, p: Parameters) -> str:
        end_hold(place, p)
        _tell(place, p, dict.fromkeys(changes(p)))
        return f"GPU {p['node']}/{p['gpu']} as it was"

    def landed(place: Place, p: Parameters) -> Proof:
        gpu, wanted = _read(place, p), changes(p)
        there = all(gpu["settings"][name] == value for name, value in wanted.items())
        new = _lines(gpu, wanted) - p["lines_before"]
        if there and (new > 0 or wanted.get("xid") is None):
            return also(place, p, True) or seen(True, _witness(p), _told(p, gpu))
        return seen(False, _witness(p), _told(p, gpu))

    def gone(place: Place, p: Parameters) -> Proof:
        gpu = _read(place, p)
        well = all(gpu["settings"][name] == getattr(WELL, name) for name in changes(p))
        return (also(place, p, False) if well else None) or seen(well, _witness(p), _told(p, gpu))

    how = Mechanism(f"emulated GPU: {text}", emulated=True, landed_within_s=15.0, gone_within_s=60.0, poll_s=0.2)
    return KubernetesFault(how, bind, inject, landed, gone, "exporter", NEEDS, revert)


def _exporter(place: Place, p: Parameters) -> Mapping[str, Any]:
    """The pod that exports the node's GPUs now, as the API has it."""
    if (told := place.settings.exporter) is None:
        raise TargetError("the environment names no kubernetes.exporter")
    for namespace in told.namespaces:
        path = path_of("pods", namespace)
        for raw in place.cluster.pages(path, labels=EXPORTER, fields=f"spec.nodeName={p['host']}"):
            if "deletionTimestamp" not in raw["metadata"]:
                return raw
    raise TargetError(f"{p['node']} has no exporter of emulated GPUs: `tierdrill kubernetes demo` brings one")


def _change(p: Parameters, changes: Changes) -> tuple[str, str]:
    return "--change", f"{p['number']}={json.dumps(dict(changes))}"


def _beside(place: Place, p: Parameters, *words: str) -> ExecStream:
    """The program beside the exporter, as it begins."""
    pod = _exporter(place, p)
    (container,) = pod["spec"]["containers"]
    command: list[str] = container["command"]
    argv = [*command[: command.index("--config") + 2], *words]
    metadata = pod["metadata"]
    return place.cluster.exec(metadata["namespace"], metadata["name"], container["name"], argv)


def prepare(place: Place, p: Parameters, *words: str) -> None:
    """Start the program that will hold it. TargetError where it refuses."""
    stream = _beside(place, p, *words, "--hold", f"{p['lease_s']:g}")
    _await(stream, p, HOLDER_READY)
    key = _key(place, p)
    _HELD[key] = stream

    def beat() -> None:
        pause = threading.Event()
        while not pause.wait(p["lease_s"] / BEATS) and _HELD.get(key) is stream:
            try:
                stream.write(b"\n")
            except ApiError:
                return

    threading.Thread(target=beat, name=f"exporter of {p['node']}", daemon=True).start()


def hold(place: Place, p: Parameters) -> None:
    """Have what was prepared done for as long as this process lives and the fault is not taken back. TargetError where
    it refuses.
    """
    if (stream := _HELD.get(_key(place, p))) is None:
        raise TargetError(f"the exporter of {p['node']} is not prepared for it")
    stream.write(f"{HOLDER_GO}\n".encode())
    _await(stream, p, HOLDER_HELD)


def _await(stream: ExecStream, p: Parameters, word: str) -> None:
    try:
        if stream.read_line(CHANGED_WITHIN_S) == word:
            return
        said = stream.finish(0.0).errors.strip().splitlines() or ["its program has ended"]
    except TimeoutError:
        stream.close()
        raise TargetError(f"the exporter of {p['node']} was not told within {CHANGED_WITHIN_S:g} s") from None
    raise TargetError(f"the exporter of {p['node']} refuses: {said[-1]}")


def _key(place: Place, p: Parameters) -> Key:
    return str(place.told["cluster"]), str(p["fault"])


def close_holds() -> None:
    """End every line of this process: what is held by them is taken back."""
    while _HELD:
        _HELD.popitem()[1].close()


def end_hold(place: Place, p: Parameters) -> None:
    """Let the program take it back, and wait until it has, so that it comes into nobody's way later."""
    stream = _HELD.pop(_key(place, p), None)
    if stream is not None:
        try:
            stream.end_input()
            stream.finish(p["lease_s"] + CHANGED_WITHIN_S)
        except (ApiError, TimeoutError):
            pass
        stream.close()


def _tell(place: Place, p: Parameters, changes: Changes) -> None:
    stream = _beside(place, p, *_change(p, changes))
    try:
        ended = stream.finish(CHANGED_WITHIN_S)
    except TimeoutError:
        raise TargetError(f"the exporter of {p['node']} was not told within {CHANGED_WITHIN_S:g} s") from None
    finally:
        stream.close()
    if ended.code != 0:
        said = ended.errors.strip().splitlines() or [f"exit code {ended.code}"]
        raise TargetError(f"the exporter of {p['node']} refuses: {said[-1]}")


def gpus_offered(place: Place, node: str) -> int:
    """How many GPUs the node's kubelet has for pods, those that are taken included."""
    found = find(place.cluster, path_of("nodes", name=node))
    offered = ((found or {}).get("status") or {}).get("allocatable") or {}
    return int(offered.get(place.settings.gpu.resource, 0))


def said_by(place: Place, p: Parameters) -> Mapping[str, Any]:
    """What the node's exporter says: `gpus`, and whether it is `frozen`."""
    pod = _exporter(place, p)
    metadata = pod["metadata"]
    port = pod["spec"]["containers"][0]["ports"][0]["containerPort"]
    answer = place.cluster.through(metadata["namespace"], f"{metadata['name']}:{port}", "GET", "gpus")
    try:
        found: Mapping[str, Any] = read_json(answer)
        return found
    except ValueError as error:
        raise TargetError(f"the exporter of {p['node']} answers with something that is not JSON: {error}") from error


def _read(place: Place, p: Parameters) -> Mapping[str, Any]:
    """What it says of the GPU."""
    said = said_by(place, p)
    for gpu in said["gpus"]:
        if gpu["index"] == p["number"]:
            found: Mapping[str, Any] = gpu
            return found
    raise TargetError(f"no GPU {p['gpu']} on {p['node']}, which has {len(said['gpus'])}")


def _lines(gpu: Mapping[str, Any], wanted: Changes) -> int:
    return int(gpu["xid_lines"].get(str(wanted.get("xid")), 0))


def _told(p: Parameters, gpu: Mapping[str, Any]) -> str:
    changed = {name: value for name, value in gpu["settings"].items() if value != getattr(WELL, name)}
    words = ", ".join(f"{name} {value}" for name, value in changed.items()) or "well"
    return f"GPU {p['node']}/{p['gpu']}: {words}"


def _witness(p: Parameters) -> str:
    return f"the exporter of {p['node']}"
