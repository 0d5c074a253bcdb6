"""The API server as seen from this machine, for what the rig itself asks of it."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Callable, Iterator
from typing import Any

from .instance import Instance, RigError


class Api:
    def __init__(self, instance: Instance) -> None:
        self.port = instance.port("api")
        self.token = (instance.folder / "pki" / "admin.token").read_text()
        self.tls = ssl.create_default_context(cafile=str(instance.folder / "pki" / "ca.crt"))

    def _request(self, method: str, path: str, body: Any, timeout_s: float) -> http.client.HTTPResponse:
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout_s, context=self.tls)
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        return connection.getresponse()

    def ready(self) -> bool:
        try:
            return self._request("GET", "/readyz", None, 2).status == 200
        except OSError:
            return False

    def create(self, path: str, body: dict[str, Any]) -> None:
        answer = self._request("POST", path, body, 30)
        if answer.status not in (200, 201, 409):
            raise RigError(f"POST {path}: {answer.status} {answer.read()[:300].decode(errors='replace')}")

    def watch(self, path: str, within_s: float) -> Iterator[tuple[str, dict[str, Any]]]:
        """(ADDED, MODIFIED or DELETED, object): first what there is, then each change, until the time is over."""
        end = time.monotonic() + within_s
        answer = self._request("GET", f"{path}?watch=true&timeoutSeconds={max(1, int(within_s))}", None, within_s)
        try:
            while time.monotonic() < end and (line := answer.readline()):
                event = json.loads(line)
                yield event["type"], event["object"]
        except TimeoutError:
            return

    def wait(self, path: str, true: Callable[[dict[str, dict[str, Any]]], bool], within_s: float, what: str) -> None:
        """Watches a collection until `true` of its objects by name."""
        objects: dict[str, dict[str, Any]] = {}
        for kind, one in self.watch(path, within_s):
            name = one["metadata"]["name"]
            if kind == "DELETED":
                objects.pop(name, None)
            else:
                objects[name] = one
            if true(objects):
                return
        raise RigError(f"{what}: not within {within_s:g} s")


def usable(node: dict[str, Any], gpus: int) -> bool:
    """Whether a Node object says that it is Ready and has its GPUs."""
    status = node.get("status", {})
    is_ready = any(one["type"] == "Ready" and one["status"] == "True" for one in status.get("conditions", []))
    return is_ready and status.get("allocatable", {}).get("nvidia.com/gpu", "0") == str(gpus)
