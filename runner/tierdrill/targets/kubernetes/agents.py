"""Agents on a cluster: one pod on each node that is faulted, and scouts elsewhere that see what a caller sees.

Both run the program of /agent from a ConfigMap. It is told what to do over the input and output of one `pods/exec`
stream, has no token and no port, and undoes what this stream has injected when it ends or falls silent.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tierdrill.documents.models.kubernetes import KubernetesSettings
from tierdrill.home import agent_folder
from tierdrill.targets.base import TargetError
from tierdrill.targets.kubernetes.api_errors import ApiError
from tierdrill.targets.kubernetes.connect import Cluster, path_of
from tierdrill.targets.kubernetes.exec_stream import ExecStream
from tierdrill.targets.kubernetes.kubernetes_fault import Place, find, label_value
from tierdrill.targets.kubernetes.ledger_map import RunMap
from tierdrill.targets.kubernetes.manifests.warden_job import off_nodes
from tierdrill.targets.kubernetes.permissions import may
from tierdrill.targets.kubernetes.warden_program import AGENT, PART_LABEL, RUN_LABEL

NEEDS = (
    *may("pods", "get", "create", "delete", scope="own"),
    *may("pods", "get", "create", subresource="exec", scope="own"),
    *may("configmaps", "get", "create", scope="own"),
)
NODE_ANNOTATION = "tierdrill.io/node"
PROGRAM, STATE = "/tierdrill/program", "/tierdrill/state"
CONTAINER = AGENT
READY_S, POLL_S = 40.0, 0.25
ANSWER_S = 20.0
LIVES_S = 6 * 3600
"""No agent stays longer than that, whatever became of who started it."""
GRACE_S, SCOUT_GRACE_S = 15, 1
"""A scout has nothing to undo, and is process 1 of its container: a signal that comes before it listens is lost."""
NOBODY = 65534
AT_WORK = {"periodSeconds": 1, "timeoutSeconds": 6, "failureThreshold": 60}
"""A container counts as started once its agent takes orders: by then it has undone what its earlier life had left."""
IMAGE_TROUBLE = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "CreateContainerError",
                 "CreateContainerConfigError", "RunContainerError", "CrashLoopBackOff")  # fmt: skip


def program() -> dict[str, str]:
    """The agent's program, by file name."""
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(agent_folder().glob("*.py"))}


def agent_pod(settings: KubernetesSettings, run: str, node: str | None, avoid: tuple[str, ...] = ()) -> dict[str, Any]:
    """The pod of an agent on that node; without one, of a scout on any node but those to `avoid`.

    TargetError where the environment allows none.
    """
    if settings.image is None:
        raise TargetError("faults on nodes need a program there: kubernetes.image names no image with Python for it")
    if node is not None and settings.agent == "forbidden":
        raise TargetError("the environment forbids privileged pods on nodes (kubernetes.agent: forbidden)")
    image, part = settings.image, "scout" if node is None else AGENT
    rights: dict[str, Any] = {"privileged": True}
    if node is None:
        rights = {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsGroup": NOBODY,
            "runAsNonRoot": True,
            "runAsUser": NOBODY,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
    mounts = [("program", PROGRAM, True), ("state", STATE, False)]
    mounts += [(f"host-{number}", path, True) for number, path in enumerate(image.host_paths)]
    hosts = [{"name": f"host-{n}", "hostPath": {"path": path}} for n, path in enumerate(image.host_paths)]
    spec: dict[str, Any] = {
        "activeDeadlineSeconds": LIVES_S,
        "automountServiceAccountToken": False,
        "containers": [
            {
                "name": CONTAINER,
                "image": image.name,
                "imagePullPolicy": image.pull_policy,
                "command": _called(image.python, "--serve"),
                "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
                "securityContext": rights,
                "volumeMounts": [{"name": name, "mountPath": path, "readOnly": ro} for name, path, ro in mounts],
            }
        ],
        "enableServiceLinks": False,
        "imagePullSecrets": [{"name": name} for name in image.pull_secrets],
        "terminationGracePeriodSeconds": GRACE_S if node is not None else SCOUT_GRACE_S,
        "volumes": [
            {"name": "program", "configMap": {"name": _program_name(run)}},
            {"name": "state", "emptyDir": {}},
            *hosts,
        ],
    }
    if node is not None:
        spec["containers"][0]["startupProbe"] = AT_WORK | {"exec": {"command": _called(image.python, "--connect")}}
        spec |= {"hostPID": True, "nodeName": node, "tolerations": [{"operator": "Exists"}]}
    else:
        spec |= off_nodes(avoid)
    where = node if node is not None else "not " + ",".join(sorted(avoid))
    metadata = {
        "name": f"{part}-{hashlib.sha256(f'{run} {where}'.encode()).hexdigest()[:10]}",
        "labels": {RUN_LABEL: label_value(run), PART_LABEL: part},
        "annotations": {NODE_ANNOTATION: where},
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _called(python: str, how: str) -> list[str]:
    return [python, "-I", "-B", PROGRAM, how, STATE]


def _program_name(run: str) -> str:
    return f"agent-{hashlib.sha256(run.encode()).hexdigest()[:10]}"


class RunOver(TargetError):
    """The run's ConfigMap is gone, and its agents with it: what they had injected is undone, and none comes again."""


class AgentLine:
    """The orders and answers of one agent. A beat keeps what it has injected alive until the line is closed."""

    def __init__(self, name: str, stream: ExecStream, lease_s: float) -> None:
        self.name = name
        self._stream, self._lease_s = stream, lease_s
        self._write = threading.Lock()
        self._changed = threading.Condition()
        self._answers: dict[int, dict[str, Any] | None] = {}
        self._number = 0
        self._broken = ""
        self._closed = threading.Event()
        for work in (self._read, self._beat):
            threading.Thread(target=work, name=f"{name}: {work.__name__}", daemon=True).start()
        self.undone = tuple(self.order("arm", lease_s=lease_s)["undone"])

    @property
    def open(self) -> bool:
        return not self._broken and not self._closed.is_set()

    def order(self, do: str, answer_s: float = ANSWER_S, **order: Any) -> dict[str, Any]:
        """Its answer; TargetError where it refuses, is away, or says nothing in time."""
        with self._changed:
            self._number += 1
            number = self._number
            self._answers[number] = None
        try:
            self._send({"id": number, "do": do, **order})
            with self._changed:
                self._changed.wait_for(lambda: self._answers[number] is not None or bool(self._broken), answer_s)
                answer = self._answers[number]
        finally:
            with self._changed:
                self._answers.pop(number)
        if answer is None:
            raise TargetError(f"{self.name}: {self._broken or f'no answer to {do} within {answer_s:g} s'}")
        if not answer.get("ok"):
            raise TargetError(f"{self.name}: {answer.get('error')}")
        return answer

    def _send(self, order: Mapping[str, Any]) -> None:
        with self._write:
            try:
                self._stream.write(json.dumps(order).encode() + b"\n")
            except ApiError as error:
                self._break(str(error))
                raise TargetError(f"{self.name}: {error}") from error

    def _read(self) -> None:
        try:
            while self.open:
                try:
                    line = self._stream.read_line(1.0)
                except TimeoutError:
                    continue
                if line is None:
                    ended = self._stream.finish(0.0)
                    self._break(f"its program has ended: {ended.errors.strip() or f'exit code {ended.code}'}")
                    return
                said = json.loads(line)
                with self._changed:
                    if said.get("id") in self._answers:
                        self._answers[said["id"]] = said
                        self._changed.notify_all()
        except Exception as error:
            self._break(str(error))

    def _beat(self) -> None:
        while not self._closed.wait(self._lease_s / 4) and not self._broken:
            try:
                self._send({"do": "beat"})
            except TargetError:
                return

    def _break(self, why: str) -> None:
        with self._changed:
            self._broken = self._broken or why
            self._changed.notify_all()

    def close(self) -> None:
        """Leave: what this line has injected is undone at once."""
        self._closed.set()
        self._stream.close()


@dataclass
class _Kept:
    lock: threading.Lock
    line: AgentLine | None = None


_LINES: dict[tuple[str, str, str], _Kept] = {}
"""The lines of this process: they outlive each place that is opened, as what they have injected must."""
_ONE_AT_A_TIME = threading.Lock()


def agent_on(place: Place, run: str, node: str, lease_s: float) -> AgentLine:
    """The agent on a node (by its real name), which is started where there is none yet. TargetError says why not."""
    return _line(place, run, agent_pod(place.settings, run, node), lease_s)


def scout_beside(place: Place, run: str, nodes: tuple[str, ...], lease_s: float) -> AgentLine:
    """A scout on a node other than these, started where there is none yet. TargetError says why not."""
    return _line(place, run, agent_pod(place.settings, run, None, tuple(sorted(set(nodes)))), lease_s)


def drop_line(place: Place, run: str, node: str) -> None:
    """Leave the agent on a node, where it does not answer: the next order goes over a new line."""
    _close(_kept(place, agent_pod(place.settings, run, node)))


def close_lines() -> None:
    """End every line of this process."""
    for kept in list(_LINES.values()):
        _close(kept)


def _close(kept: _Kept) -> None:
    with kept.lock:
        if kept.line is not None:
            kept.line.close()
            kept.line = None


def _kept(place: Place, pod: dict[str, Any]) -> _Kept:
    with _ONE_AT_A_TIME:
        key = (str(place.told["cluster"]), place.settings.namespace, pod["metadata"]["name"])
        return _LINES.setdefault(key, _Kept(threading.Lock()))


def _line(place: Place, run: str, pod: dict[str, Any], lease_s: float) -> AgentLine:
    namespace, name = place.settings.namespace, pod["metadata"]["name"]
    kept = _kept(place, pod)
    with kept.lock:
        if kept.line is None or not kept.line.open:
            kept.line = None
            started(place, run, pod)
            argv = _called(pod["spec"]["containers"][0]["command"][0], "--connect")
            stream = place.cluster.exec(namespace, name, CONTAINER, argv)
            where = pod["spec"].get("nodeName")
            kept.line = AgentLine(f"agent on {where}" if where else "scout", stream, lease_s)
        return kept.line


def started(place: Place, run: str, pod: dict[str, Any]) -> None:
    """Make the pod where it is missing, and wait until its program runs. TargetError says what keeps it; RunOver where
    the run has ended meanwhile.
    """
    cluster, namespace, name = place.cluster, place.settings.namespace, pod["metadata"]["name"]
    path = path_of("pods", namespace, name)
    if find(cluster, path) is None:
        owners = owners_of(cluster, namespace, run)
        with _refusals(f"the pod {namespace}/{name}"):
            body = {"apiVersion": "v1", "kind": "ConfigMap", "data": program()}
            body["metadata"] = {"name": _program_name(run), "labels": {RUN_LABEL: label_value(run)}, **owners}
            _made(cluster, path_of("configmaps", namespace), body)
            _made(cluster, path_of("pods", namespace), {**pod, "metadata": {**pod["metadata"], **owners}})
    give_up = time.monotonic() + READY_S
    while True:
        found = find(cluster, path)
        why = "it is gone" if found is None else keeps(found)
        if not why:
            return
        if found is None or time.monotonic() >= give_up or why.startswith(IMAGE_TROUBLE):
            raise TargetError(f"the pod {namespace}/{name} does not run: {why}")
        time.sleep(POLL_S)


def owners_of(cluster: Cluster, namespace: str, run: str) -> dict[str, Any]:
    """With the run's ConfigMap goes what it owns; RunOver where it has gone."""
    book = RunMap(cluster, namespace, run)
    found = book.read()
    if found is None:
        raise RunOver(f"run {run} is over on the cluster: what agents had injected for it is undone")
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": book.name, "uid": found["metadata"]["uid"]}
    return {"ownerReferences": [owner]}


@contextmanager
def _refusals(what: str) -> Iterator[None]:
    try:
        yield
    except ApiError as error:
        raise TargetError(f"{what} cannot be made: {error}") from error


def _made(cluster: Cluster, path: str, body: dict[str, Any]) -> None:
    try:
        cluster.send("POST", path, body)
    except ApiError as error:
        if error.status != 409:
            raise


def keeps(found: Mapping[str, Any]) -> str:
    """What keeps a pod from running; "" where it runs."""
    status = found.get("status") or {}
    if status.get("phase") in ("Failed", "Succeeded") or "deletionTimestamp" in found["metadata"]:
        return f"it has ended: {status.get('reason') or status.get('message') or status.get('phase')}"
    for one in status.get("containerStatuses") or ():
        if "running" in one["state"]:
            return ""
        waits = one["state"].get("waiting") or {}
        if waits:
            return f"{waits.get('reason')}: {waits.get('message', '')}".rstrip(": ")
    told = [one.get("message") for one in status.get("conditions") or () if one.get("status") == "False"]
    return next((str(message) for message in told if message), "its node has not begun it")
