"""Undo steps, and the warden: the program that plays them when nobody renews a drill's Lease any more.

The standard library alone, Python 3.9 and later: the warden's pod runs this very file, from the run's ConfigMap.
The runner, the reaper and `recover` play the same steps through their own connection.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any

Object = dict[str, Any]
Step = dict[str, Any]
"""One object that a fault has changed or made: `what` (for people), `path`, and `uid` where it was there before.

`delete` is the id of the fault that made it: it is deleted if its label still says so. `fields` are
{`at`, `ours`, `before`}: put back where our value still stands and nobody else has set it since; None is "not there".
`items` are {`at`, `item`}: an element of ours, to be taken out of a list.
"""

Ask = Callable[..., "tuple[int, Object]"]
"""(method, path, body=None, content_type="application/json") to the answer's HTTP status and body."""

MANAGER = "tierdrill"
RUN_LABEL, FAULT_LABEL = "tierdrill.io/run", "tierdrill.io/fault"
PART_LABEL, AGENT = "tierdrill.io/part", "agent"
UNDONE, WARDED = "tierdrill.io/undone", "tierdrill.io/warded"
"""Annotations of the Lease: what the last warden that had to act has done; and whose warden is at its post."""
ENTRY = "fault-"
"""How the keys of the run's ConfigMap begin that hold a fault: {`at`, `undo`, `order`}."""
ENDS_IN_S = "ends_in_s"
"""The parameter of an order that nobody can undo, and that ends by itself after so long."""
JSON_PATCH, MERGE_PATCH = "application/json-patch+json", "application/merge-patch+json"
GONE, CONFLICT, INVALID, UNREACHABLE = 404, 409, 422, 599
ATTEMPTS = 10
RETRY_S = 0.3
ASK_S = 3.0
SECRETS = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class UndoFailed(Exception):
    """The API refused, or somebody changes the object all the time."""


def play(ask: Ask, steps: list[Step]) -> list[str]:
    """Play the steps in order; what each did, in words. UndoFailed names those that could not be played, once all
    others have been.
    """
    said, failed = [], []
    for step in steps:
        try:
            said.append(f"{step['what']}: {_undo(ask, step)}")
        except UndoFailed as error:
            failed.append(f"{step['what']}: {error}")
    if failed:
        raise UndoFailed("; ".join(failed))
    return said


def _undo(ask: Ask, step: Step) -> str:
    status, answer = 0, Object()
    for _ in range(ATTEMPTS):
        status, answer = ask("GET", step["path"])
        if status == GONE:
            return "nothing to do, it is gone"
        if status >= 400:
            break
        found, metadata = answer, answer["metadata"]
        if step.get("uid") not in (None, metadata["uid"]):
            return "nothing to do, another one has its name since"
        if "delete" in step:
            if (metadata.get("labels") or {}).get(FAULT_LABEL) != step["delete"]:
                return "nothing to do, it is not the one that was made"
            said, options = "deleted", {"uid": metadata["uid"]}
            body = {"preconditions": options, "propagationPolicy": "Background"}
            status, answer = ask("DELETE", step["path"], body)
        else:
            changes, said = _changes(found, step)
            if not changes:
                return said
            unchanged = {"op": "test", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]}
            status, answer = ask("PATCH", step["path"], [unchanged, *changes], JSON_PATCH)
        if status < 400 or status == GONE:
            return said
        if status not in (CONFLICT, INVALID):
            break
    raise UndoFailed(f"HTTP {status}: {answer.get('message', '')}")


def _changes(found: Object, step: Step) -> tuple[list[Object], str]:
    """The JSON patch that puts back what is still ours, and what there is to say."""
    patch: list[Object] = []
    others = []
    for field in step.get("fields", []):
        now = value_at(found, field["at"])
        if now == field["before"]:
            continue
        manager = manager_of(found, field["at"])
        if now != field["ours"] or manager not in (None, MANAGER):
            others.append(f"{field['at']} was changed by {manager or 'somebody'} since, left as it is")
        elif field["before"] is None:
            patch.append({"op": "remove", "path": field["at"]})
        else:
            patch.append({"op": "replace", "path": field["at"], "value": field["before"]})
    for one in step.get("items", []):
        there = value_at(found, one["at"]) or []
        mine = [number for number, item in enumerate(there) if one["item"].items() <= item.items()]
        # From the end: what stands before keeps its place.
        patch += [{"op": "remove", "path": f"{one['at']}/{number}"} for number in reversed(mine)]
    return patch, "; ".join(["put back"] * bool(patch) + others) or "nothing to do"


def stands(found: Object, step: Step) -> bool:
    """Whether what the step would undo is there, in an object as the API tells of it."""
    if step.get("uid") not in (None, found["metadata"]["uid"]):
        return False
    if "delete" in step:
        return bool((found["metadata"].get("labels") or {}).get(FAULT_LABEL) == step["delete"])
    return bool(_changes(found, step)[0])


def _parts(pointer: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def value_at(found: Any, pointer: str) -> Any:
    """What a JSON pointer leads to; None where there is nothing."""
    for part in _parts(pointer):
        if isinstance(found, list):
            found = found[int(part)] if part.isdigit() and int(part) < len(found) else None
        else:
            found = found.get(part) if isinstance(found, dict) else None
    return found


def manager_of(found: Object, pointer: str) -> str | None:
    """The manager that set a field last; None where that is not known, as of a field that was removed."""
    latest, name = "", None
    for entry in found["metadata"].get("managedFields") or []:
        node: Any = entry.get("fieldsV1") or {}
        for part in _parts(pointer):
            node = node.get(f"f:{part}") if isinstance(node, dict) else None
        if node is not None and entry.get("time", "") >= latest:
            latest, name = entry.get("time", ""), entry.get("manager")
    return name


class Warden:
    """Watches one run's Lease by its own monotonic clock. Once that has not changed for so long, or is another's, it
    plays the undo of every fault in the run's ConfigMap, frees the Lease, and takes the ConfigMap away.
    """

    def __init__(
        self,
        ask: Ask,
        watch: Callable[[str, float], object],
        config: Object,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """`watch` (resourceVersion, seconds) returns once the Lease may have changed, or the time is up.
        `config` has `lease` and `map` (paths), `own` (lists, as paths, of what the run has made), `holder`, `lease_s`.
        """
        self._ask, self._watch, self._clock, self._sleep = ask, watch, clock, sleep
        self._lease, self._map, self._own = config["lease"], config["map"], config["own"]
        self._holder, self._lease_s = config["holder"], config["lease_s"]
        self._acts_since = 0.0

    def run(self) -> str:
        """Until the run is over; what was done, in words."""
        since, seen, told = self._clock(), None, False
        while True:
            status, lease = self._ask("GET", self._lease)
            if status == GONE or (status < 400 and lease["spec"].get("holderIdentity") != self._holder):
                return self._undo_all("its Lease was given up or taken over")
            if status < 400 and lease["spec"].get("renewTime") != seen:
                since, seen = self._clock(), lease["spec"].get("renewTime")
            left = since + self._lease_s - self._clock()
            if left <= 0:
                return self._undo_all(f"nobody renewed its Lease for {self._lease_s:g} s")
            if not told:
                at_post = {"metadata": {"annotations": {WARDED: self._holder}}}
                told = self._ask("PATCH", self._lease, at_post, MERGE_PATCH)[0] < 400
            if status < 400:
                self._watch(lease["metadata"]["resourceVersion"], left)
            else:
                self._sleep(min(RETRY_S, left))

    def _undo_all(self, why: str) -> str:
        self._acts_since = self._clock()
        while True:
            status, found = self._ask("GET", self._map)
            if status == GONE:
                return "the run is over"
            if status < 400 and self._undone(found, why):
                return why
            self._sleep(RETRY_S)

    def _undone(self, found: Object, why: str) -> bool:
        entries = [json.loads(text) for key, text in found.get("data", {}).items() if key.startswith(ENTRY)]
        newest_first = sorted(entries, key=lambda one: -float(one["at"]))
        try:
            said = play(self._ask, [step for entry in newest_first for step in entry["undo"]])
        except UndoFailed as error:
            sys.stderr.write(f"{error}\n")
            return False
        lasts_s = max((entry["order"]["parameters"].get(ENDS_IN_S, 0.0) for entry in entries), default=0.0)
        if self._coming_back() or self._clock() < self._acts_since + lasts_s:
            return False
        self._free(f"{self._holder}: {why}: {'; '.join(said) or 'nothing to undo'}")
        # Whoever has written another fault into it meanwhile keeps it: that one is undone next.
        unchanged = {key: found["metadata"][key] for key in ("uid", "resourceVersion")}
        body = {"preconditions": unchanged, "propagationPolicy": "Background"}
        if self._ask("DELETE", self._map, body)[0] >= 400:
            return False
        self._take_away()
        return True

    def _coming_back(self) -> list[str]:
        """Agents that have ended and are not at work again: what they had injected is off once their next life is."""
        found = []
        for _, item in self._made():
            metadata, status = item["metadata"], item.get("status", {})
            if metadata.get("labels", {}).get(PART_LABEL) == AGENT and "deletionTimestamp" not in metadata:
                each = status.get("containerStatuses", [])
                ended = [one for one in each if one.get("restartCount") or "terminated" in one.get("state", {})]
                found += [metadata["name"] for one in ended if not one.get("started")]
        return found

    def _made(self) -> Iterator[tuple[str, Object]]:
        """What the run has made beside, each with the path of its collection."""
        for collection in self._own:
            for item in self._ask("GET", collection)[1].get("items", []):
                yield collection.partition("?")[0], item

    def _take_away(self) -> None:
        """What the run has made beside, this pod among it: the cluster's garbage collection may take its time."""
        for path, item in self._made():
            options = {"gracePeriodSeconds": 0, "propagationPolicy": "Background"}
            self._ask("DELETE", f"{path}/{item['metadata']['name']}", options)

    def _free(self, said: str) -> None:
        """The Lease, for the next run, with what was done here; whether that works or not."""
        status, lease = self._ask("GET", self._lease)
        if status < 400 and lease["spec"].get("holderIdentity") == self._holder:
            metadata = {
                "resourceVersion": lease["metadata"]["resourceVersion"],
                "labels": {RUN_LABEL: None},
                "annotations": {UNDONE: said, WARDED: None},
            }
            self._ask("PATCH", self._lease, {"metadata": metadata, "spec": {"holderIdentity": None}}, MERGE_PATCH)


class PodApi:
    """The API server as a pod reaches it, with its ServiceAccount's token."""

    def __init__(self, server: str, secrets: Path = SECRETS) -> None:
        """`server` is its URL, without a path."""
        self._scheme, _, self._address = server.partition("://")
        self._secrets = secrets
        self._stream: tuple[HTTPConnection, HTTPResponse] | None = None

    def _send(
        self, method: str, path: str, body: str | None, content_type: str, within_s: float
    ) -> tuple[HTTPConnection, HTTPResponse]:
        # The token is rotated: read anew for each call.
        token = (self._secrets / "token").read_text()
        headers = {"Authorization": f"Bearer {token}", "User-Agent": MANAGER, "Content-Type": content_type}
        connection = self._connection(within_s)
        try:
            connection.request(method, path, body, headers)
            return connection, connection.getresponse()
        except BaseException:
            connection.close()
            raise

    def _connection(self, within_s: float) -> HTTPConnection:
        if self._scheme == "http":
            return HTTPConnection(self._address, timeout=within_s)
        tls = ssl.create_default_context(cafile=str(self._secrets / "ca.crt"))
        return HTTPSConnection(self._address, timeout=within_s, context=tls)

    def ask(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json"
    ) -> tuple[int, Object]:
        """See Ask; UNREACHABLE where there is no answer."""
        query = "" if method in ("GET", "DELETE") else f"?fieldManager={MANAGER}"
        text = None if body is None else json.dumps(body)
        try:
            connection, answer = self._send(method, path + query, text, content_type, ASK_S)
            with contextlib.closing(connection):
                return answer.status, json.loads(answer.read())
        except (OSError, HTTPException, ValueError) as error:
            return UNREACHABLE, {"message": f"{type(error).__name__}: {error}"}

    def watch(self, path: str, version: str, within_s: float) -> None:
        """Until the object at that path changes, or the time is up."""
        collection, _, name = path.rpartition("/")
        query = f"watch=1&fieldSelector=metadata.name%3D{name}&resourceVersion={version}"
        try:
            if self._stream is None:
                self._stream = self._send("GET", f"{collection}?{query}", None, "application/json", within_s)
            connection, answer = self._stream
            if connection.sock is not None:
                connection.sock.settimeout(within_s)
            if answer.status == 200 and answer.readline():
                return
        except (OSError, HTTPException, ValueError):
            pass
        if self._stream is not None:
            self._stream[0].close()
            self._stream = None
        time.sleep(min(RETRY_S, within_s))


def main() -> int:
    """Entry of the warden's pod: its configuration is in WARDEN."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    config = json.loads(os.environ["WARDEN"])
    api = PodApi(f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}")
    warden = Warden(api.ask, lambda version, within_s: api.watch(config["lease"], version, within_s), config)
    sys.stderr.write(f"{warden.run()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
