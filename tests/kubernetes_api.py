"""A small stand-in for a Kubernetes API server: objects by path, versions, patches, evictions, watches, field owners.

It does what a real one does with the calls that are tested, and nothing more: no admission, no controllers (`react` and
`meddle` are the place for those), every token is good.
"""

from __future__ import annotations

import copy
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

Object = dict[str, Any]
KUBE_SYSTEM = "0f0f0f0f-0000-4000-8000-000000000001"
WATCH_TICK_S = 0.02


class Refusal(Exception):
    """A status from 400 on, as the API gives it."""

    def __init__(self, status: int, reason: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body = {
            "kind": "Status", "apiVersion": "v1", "status": "Failure",
            "code": status, "reason": reason, "message": message, "details": details,
        }  # fmt: skip


def workloads_of(models: Mapping[str, str]) -> Object:
    """A Workloads document of models, each with its tier."""
    of_tests = {"risk": "low", "impact": "low", "frequency": "constant", "rationale": "of the tests"}
    return {
        "apiVersion": "tierdrill/v1",
        "kind": "Workloads",
        "metadata": {"name": "models", "owner": "tests", "title": "Models"},
        "tiers": "serving",
        "models": [{"name": model, "tier": tier, **of_tests} for model, tier in models.items()],
        "routes": [{"tier": tier} for tier in models.values()],
    }


class FakeApi:
    """The store behind the server. `calls` are (method, path) of every request.

    `meddle` is asked before each call, with (method, path, body): it may change objects, raise Refusal, or return True
    to break the connection off. `react` is told after each change, with (verb, path, object).
    """

    def __init__(self) -> None:
        self.objects: dict[str, Object] = {}
        self.owners: dict[str, dict[str, tuple[str, str]]] = {}
        self.calls: list[tuple[str, str]] = []
        self.meddle: Callable[[str, str, Any], bool | None] = lambda method, path, body: None
        self.react: Callable[[str, str, Object], None] = lambda verb, path, found: None
        self.events: list[tuple[str, str, Object]] = []
        self.lock = threading.RLock()
        self.budgets: dict[str, int] = {}
        """How many more pods of a namespace may be evicted; without an entry, any number."""
        self._versions = itertools.count(1)
        self.put("/api/v1/namespaces/kube-system", {"metadata": {"uid": KUBE_SYSTEM}})

    def put(self, path: str, body: Object, manager: str = "test") -> Object:
        """Make or replace an object, as some other client would."""
        with self.lock:
            found = copy.deepcopy(body)
            before = self.objects.get(path)
            meta = found.setdefault("metadata", {})
            number = next(self._versions)
            meta.setdefault("name", unquote(path.rpartition("/")[2]))
            if "/namespaces/" in path and path.split("/namespaces/")[1].count("/") >= 2:
                meta.setdefault("namespace", path.split("/namespaces/")[1].split("/")[0])
            meta.setdefault("uid", before["metadata"]["uid"] if before else f"00000000-0000-4000-8000-{number:012d}")
            meta.setdefault("creationTimestamp", datetime.now(UTC).isoformat(timespec="seconds"))
            meta["resourceVersion"] = str(number)
            self._own(path, before or {}, found, manager)
            self.objects[path] = found
            verb = "MODIFIED" if before else "ADDED"
            self._told(verb, path, found)
            return copy.deepcopy(found)

    def change(self, path: str, change: Callable[[Object], object], manager: str = "test") -> None:
        """Change an object, as some other client would."""
        with self.lock:
            found = copy.deepcopy(self.objects[path])
            change(found)
            self.put(path, found, manager)

    def remove(self, path: str) -> None:
        """Take an object away, and all that it owns or holds."""
        with self.lock:
            found = self.objects.pop(path)
            self._told("DELETED", path, found)
            uid = found["metadata"]["uid"]
            held = f"/namespaces/{path.rpartition('/')[2]}/" if path.startswith("/api/v1/namespaces/") else None
            inside = held if held is not None and path.count("/") == 4 else None
            for other, one in list(self.objects.items()):
                owned = any(ref["uid"] == uid for ref in one["metadata"].get("ownerReferences") or ())
                if other in self.objects and (owned or (inside is not None and inside in other)):
                    self.remove(other)

    def find(self, path: str) -> Object | None:
        """An object as it is now, or None."""
        with self.lock:
            return copy.deepcopy(self.objects.get(path))

    def _told(self, verb: str, path: str, found: Object) -> None:
        self.events.append((verb, path, copy.deepcopy(found)))
        self.react(verb, path, copy.deepcopy(found))

    def _own(self, path: str, before: Object, after: Object, manager: str) -> None:
        mine, now = self.owners.setdefault(path, {}), datetime.now(UTC).isoformat()
        old, new = dict(_leaves(before)), dict(_leaves(after))
        for pointer in [one for one in mine if one not in new]:
            del mine[pointer]
        for pointer, value in new.items():
            if old.get(pointer) != value or pointer not in old:
                mine[pointer] = (manager, now)
        fields: dict[str, tuple[str, Object]] = {}
        for pointer, (name, at) in mine.items():
            node = fields.setdefault(name, (at, {}))[1]
            fields[name] = (max(at, fields[name][0]), fields[name][1])
            for part in pointer:
                node = node.setdefault(f"f:{part}", {})
        after["metadata"]["managedFields"] = [
            {"manager": name, "operation": "Update", "time": at, "fieldsV1": tree}
            for name, (at, tree) in fields.items()
        ]

    def answer(self, method: str, path: str, query: Mapping[str, str], body: Any, content_type: str) -> Object:
        """What the server answers; Refusal."""
        with self.lock:
            if path.endswith("/selfsubjectrulesreviews"):
                return {**body, "status": {"resourceRules": [], "incomplete": True}}
            if path.endswith("/selfsubjectaccessreviews"):
                return {**body, "status": {"allowed": True}}
            if method == "POST" and path.endswith("/eviction"):
                return self._evict(path.removesuffix("/eviction"), query)
            if method == "POST":
                return self._create(path, query, body)
            if method == "GET" and path not in self.objects and self._is_list(path):
                return self._list(path, query)
            if path not in self.objects:
                raise Refusal(404, "NotFound", f"{path} not found")
            if method == "GET":
                return copy.deepcopy(self.objects[path])
            if method == "DELETE":
                return self._delete(path, body or {})
            return self._change(method, path, query, body, content_type)

    def _is_list(self, path: str) -> bool:
        parts = path.removeprefix("/apis/").removeprefix("/api/").split("/")
        rest = parts[2:] if path.startswith("/apis/") else parts[1:]
        return len(rest) in (1, 3) and not (rest[0] == "namespaces" and len(rest) == 2)

    def _create(self, path: str, query: Mapping[str, str], body: Object) -> Object:
        where = f"{path}/{body['metadata']['name']}"
        if where in self.objects:
            raise Refusal(409, "AlreadyExists", f"{where} already exists")
        space = path.partition("/namespaces/")[2].partition("/")[0]
        if space and f"/api/v1/namespaces/{space}" not in self.objects:
            raise Refusal(404, "NotFound", f'namespaces "{space}" not found')
        if query.get("dryRun"):
            return body
        return self.put(where, body, query.get("fieldManager", "unknown"))

    def _list(self, path: str, query: Mapping[str, str]) -> Object:
        items = [
            copy.deepcopy(found)
            for where, found in sorted(self.objects.items())
            if (where.rpartition("/")[0] == path or self._across(where, path)) and _selected(found, query)
        ]
        return {"kind": "List", "metadata": {"resourceVersion": str(len(self.events))}, "items": items}

    def _across(self, where: str, path: str) -> bool:
        """Whether an object is in a list over all namespaces."""
        root, _, resource = path.rpartition("/")
        return where.startswith(f"{root}/namespaces/") and where.rpartition("/")[0].endswith(f"/{resource}")

    def _delete(self, path: str, options: Object) -> Object:
        meta = self.objects[path]["metadata"]
        for key, value in (options.get("preconditions") or {}).items():
            if meta[key] != value:
                raise Refusal(
                    409, "Conflict", f"Precondition failed: {key} in precondition: {value}, {meta[key]} there"
                )
        found = self.objects[path]
        self.remove(path)
        return found

    def _change(self, method: str, path: str, query: Mapping[str, str], body: Any, content_type: str) -> Object:
        found = copy.deepcopy(self.objects[path])
        version = found["metadata"]["resourceVersion"]
        if content_type == "application/json-patch+json":
            found = json_patch(found, body)
        elif content_type == "application/merge-patch+json":
            found = merge_patch(found, body)
        elif method == "PUT":
            found = body
        else:
            raise Refusal(415, "UnsupportedMediaType", content_type)
        if found["metadata"].get("resourceVersion", version) != version:
            raise Refusal(
                409, "Conflict", "the object has been modified; please apply your changes to the latest version"
            )
        if path.startswith("/apis/scheduling.k8s.io/") and found.get("value") != self.objects[path].get("value"):
            raise Refusal(422, "Invalid", "value: Forbidden: may not be changed in an update")
        return self.put(path, found, query.get("fieldManager", "unknown"))

    def _evict(self, path: str, query: Mapping[str, str]) -> Object:
        if path not in self.objects:
            raise Refusal(404, "NotFound", f"{path} not found")
        space = self.objects[path]["metadata"]["namespace"]
        if self.budgets.get(space, 1) < 1:
            told = f"Cannot evict pod as it would violate the pod's disruption budget: {space}-budget"
            raise Refusal(429, "TooManyRequests", told, causes=[{"reason": "DisruptionBudget", "message": told}])
        if not query.get("dryRun"):
            if space in self.budgets:
                self.budgets[space] -= 1
            self.remove(path)
        return {"kind": "Status", "status": "Success"}

    def since(self, path: str, query: Mapping[str, str], position: int) -> tuple[int, list[Object]]:
        """The events of a watch from a position on."""
        with self.lock:
            new = self.events[position:]
            told = [
                {"type": verb, "object": found}
                for verb, where, found in new
                if (where.rpartition("/")[0] == path or self._across(where, path)) and _selected(found, query)
            ]
            return position + len(new), told

    def position(self, version: str) -> int:
        """Where in the events that version is."""
        with self.lock:
            for number, (_, _, found) in enumerate(self.events):
                if int(found["metadata"]["resourceVersion"]) > int(version or 0):
                    return number
            return len(self.events)


def json_patch(found: Object, patch: list[Object]) -> Object:
    """The object with a JSON patch applied; Refusal 422 where a test fails or a path is not there."""
    for change in patch:
        *way, last = [part.replace("~1", "/").replace("~0", "~") for part in change["path"].split("/")[1:]]
        node: Any = found
        try:
            for part in way:
                node = node[int(part)] if isinstance(node, list) else node[part]
            key: Any = last if isinstance(node, dict) or last == "-" else int(last)
            if change["op"] == "test":
                if node[key] != change["value"]:
                    raise KeyError(key)
            elif change["op"] == "remove":
                del node[key]
            elif isinstance(node, list):
                node.insert(len(node) if key == "-" else key, change["value"])
            elif change["op"] == "replace" and key not in node:
                raise KeyError(key)
            else:
                node[key] = change["value"]
        except (KeyError, IndexError) as error:
            raise Refusal(422, "Invalid", f"the server rejected our request: {change}") from error
    return found


def merge_patch(found: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(found) if isinstance(found, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def _leaves(found: Object, way: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in found.items():
        if (*way, key) in (("metadata", "managedFields"), ("metadata", "resourceVersion")):
            continue
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*way, key))
        else:
            yield (*way, key), value


def _selected(found: Object, query: Mapping[str, str]) -> bool:
    labels = found["metadata"].get("labels") or {}
    for one in filter(None, query.get("labelSelector", "").split(",")):
        key, there, value = one.partition("=")
        if key not in labels or (there and labels[key] != value.lstrip("=")):
            return False
    for one in filter(None, query.get("fieldSelector", "").split(",")):
        key, _, value = one.partition("=")
        node: Any = found
        for part in key.split("."):
            node = (node or {}).get(part)
        if node != value:
            return False
    return True


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, *args: Any) -> None:
        """Quiet."""

    def _do(self) -> None:
        api, split = self.server.api, urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(split.query).items()}
        text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.loads(text) if text else None
        api.calls.append((self.command, split.path))
        try:
            if api.meddle(self.command, split.path, body):
                self.close_connection = True
                self.connection.close()
                return
            if query.get("watch"):
                self._watch(split.path, query)
                return
            status, answer = (
                200,
                api.answer(self.command, split.path, query, body, self.headers.get("Content-Type", "")),
            )
        except Refusal as refusal:
            status, answer = refusal.status, refusal.body
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _do

    def _watch(self, path: str, query: Mapping[str, str]) -> None:
        api, until = self.server.api, time.monotonic() + float(query.get("timeoutSeconds", 60))
        position = api.position(query.get("resourceVersion", ""))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            while time.monotonic() < until and not self.server.ending.is_set():
                position, told = api.since(path, query, position)
                for event in told:
                    line = json.dumps(event).encode() + b"\n"
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
                self.wfile.flush()
                self.server.ending.wait(WATCH_TICK_S)
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.close_connection = True


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, api: FakeApi) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.api, self.ending = api, threading.Event()


@contextmanager
def serving(api: FakeApi, folder: Path) -> Iterator[Path]:
    """The path of a kubeconfig for the API while it is served on loopback."""
    server = _Server(api)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "fake", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
                "users": [{"name": "test", "user": {"token": "no-secret"}}],
                "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "test"}}],
                "current-context": "fake",
            }
        )
    )
    try:
        yield kubeconfig
    finally:
        server.ending.set()
        server.shutdown()
        server.server_close()
        thread.join()
