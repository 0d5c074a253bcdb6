"""A cluster's API as the tests see it: through the official client alone, so that they are a third party."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kubernetes import client, config

Object = dict[str, Any]
Objects = dict[str, Object]


class ApiWitness:
    def __init__(self, kubeconfig: Path) -> None:
        self._api = config.new_client_from_config(str(kubeconfig))

    def send(self, method: str, path: str, body: Any = None, **query: str) -> Any:
        """Raises the client's ApiException, with `status` and `body`."""
        answer = self._call(method, path, body, query, 30)
        if answer.status >= 400:
            raise client.ApiException(answer.status, answer.reason, body=answer.data.decode())
        return json.loads(answer.data)

    def get(self, path: str, **query: str) -> Any:
        return self.send("GET", path, None, **query)

    def absent(self, path: str) -> bool:
        try:
            self.get(path)
        except client.ApiException as error:
            return bool(error.status == 404)
        return False

    def _call(self, method: str, path: str, body: Any, query: dict[str, str], read_s: float) -> Any:
        """The answer as urllib3 has it, not read yet."""
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        call = self._api.param_serialize(
            method,
            path,
            query_params=list(query.items()),
            header_params={"Content-Type": kind},
            body=body,
            auth_settings=["BearerToken"],
        )
        return self._api.call_api(*call, _request_timeout=(5, read_s)).response

    def wait(self, path: str, true: Callable[[Objects], bool], within_s: float = 60.0, **query: str) -> Objects:
        """Lists and watches until `true` of a collection's objects by name, which are returned; else AssertionError."""
        end = time.monotonic() + within_s
        while True:
            found = self.get(path, **query)
            objects: Objects = {one["metadata"]["name"]: one for one in found["items"]}
            if true(objects):
                return objects
            for kind, one in self._events(path, found["metadata"]["resourceVersion"], end - time.monotonic(), query):
                if kind == "ERROR":
                    break
                if kind == "DELETED":
                    objects.pop(one["metadata"]["name"], None)
                else:
                    objects[one["metadata"]["name"]] = one
                if true(objects):
                    return objects
            if time.monotonic() > end:
                statuses = json.dumps({name: one.get("status") for name, one in objects.items()})
                raise AssertionError(f"{path}: not within {within_s:g} s; at the end: {statuses[:3000]}")

    def _events(
        self, path: str, version: str, within_s: float, query: dict[str, str]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        asked = {**query, "watch": "true", "timeoutSeconds": str(max(1, int(within_s))), "resourceVersion": version}
        answer = self._call("GET", path, None, asked, within_s + 5)
        try:
            while line := answer.readline():
                event = json.loads(line)
                yield event["type"], event["object"]
        finally:
            answer.close()

    def wait_for_node(
        self, name: str, true: Callable[[dict[str, Any]], bool], within_s: float = 60.0
    ) -> dict[str, Any]:
        """The Node object, once it is so."""
        found = self.wait("/api/v1/nodes", lambda nodes: name in nodes and true(nodes[name]), within_s)
        return found[name]


def readiness(node: dict[str, Any]) -> str:
    """True, False or Unknown, as its condition Ready says."""
    conditions = node.get("status", {}).get("conditions", [])
    return next((str(one["status"]) for one in conditions if one["type"] == "Ready"), "Unknown")


def pod_ready(pod: dict[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    gone = "deletionTimestamp" in pod["metadata"]
    return not gone and any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
