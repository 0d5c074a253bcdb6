"""The requests of the lab's control API, as data: what a client sends, and how long it waits for the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote, urlencode

CALL_TIMEOUT_S = 3.0
POWER_TIMEOUT_S = 15.0
_WAIT_SLACK_S = 3.0
Power = Literal["on", "off", "cycle"]
Json = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """One request to the control API."""

    method: str
    path: str
    body: Json | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = CALL_TIMEOUT_S
    refusal_is_answer: bool = False

    @property
    def path_and_query(self) -> str:
        """As it stands in the request's first line."""
        return f"{self.path}?{urlencode(self.query)}" if self.query else self.path


class Calls:
    """The API's requests, as data."""

    @staticmethod
    def status() -> Call:
        return Call("GET", "/v1/status")

    @staticmethod
    def state(since: int | None, wait_s: float) -> Call:
        return _waiting("/v1/state", since, wait_s)

    @staticmethod
    def events(since: int, wait_s: float) -> Call:
        return _waiting("/v1/events", since, wait_s)

    @staticmethod
    def get(path: str) -> Call:
        return Call("GET", path)

    @staticmethod
    def agent(node: str) -> Call:
        return Call("GET", f"/v1/nodes/{_part(node)}/agent")

    @staticmethod
    def power(node: str, state: Power) -> Call:
        return Call("POST", f"/v1/nodes/{_part(node)}/power", {"state": state}, timeout_s=POWER_TIMEOUT_S)

    @staticmethod
    def signal_replica(replica: str, signal: str) -> Call:
        return Call("POST", f"/v1/replicas/{_part(replica)}/signal", {"signal": signal})

    @staticmethod
    def start_replica(replica: str) -> Call:
        return Call("POST", f"/v1/replicas/{_part(replica)}/start", {}, timeout_s=POWER_TIMEOUT_S)

    @staticmethod
    def flip_bit(replica: str, index: int, bit: int, flipped: bool) -> Call:
        body = {"index": index, "bit": bit, "flipped": flipped}
        return Call("POST", f"/v1/replicas/{_part(replica)}/flip", body)

    @staticmethod
    def change_errors(replica: str, percent: int) -> Call:
        return Call("POST", f"/v1/replicas/{_part(replica)}/errors", {"percent": percent})

    @staticmethod
    def signal_process(process: str, signal: str) -> Call:
        return Call("PUT", f"/v1/signals/{_part(process)}", {"signal": signal})

    @staticmethod
    def start_process(process: str) -> Call:
        return Call("POST", f"/v1/processes/{_part(process)}/start", {}, timeout_s=POWER_TIMEOUT_S)

    @staticmethod
    def restart_process(process: str) -> Call:
        return Call("POST", f"/v1/processes/{_part(process)}/restart", {}, timeout_s=POWER_TIMEOUT_S)

    @staticmethod
    def set_link(source: str, destination: str, mode: str, settings: Mapping[str, Any]) -> Call:
        body = {"source": source, "destination": destination, "mode": mode, **settings}
        return Call("PUT", "/v1/links", body)

    @staticmethod
    def set_gpu(node: str, index: int, settings: Mapping[str, Any]) -> Call:
        return Call("POST", f"/v1/gpus/{_part(node)}/{int(index)}", dict(settings))

    @staticmethod
    def change_gpu(node: str, index: int, changes: Mapping[str, Any]) -> Call:
        return Call("PATCH", f"/v1/gpus/{_part(node)}/{int(index)}", dict(changes))

    @staticmethod
    def set_exporter(node: str, up: bool, *, frozen: bool = False) -> Call:
        return Call("PUT", f"/v1/nodes/{_part(node)}/exporter", {"up": up, "frozen": frozen})

    @staticmethod
    def kernel_noise(node: str, burst: Mapping[str, int] | None) -> Call:
        path = f"/v1/nodes/{_part(node)}/kernel-noise"
        return Call("DELETE", path) if burst is None else Call("PUT", path, dict(burst))

    @staticmethod
    def stall(node: str, turns: Mapping[str, float] | None) -> Call:
        path = f"/v1/nodes/{_part(node)}/stall"
        return Call("DELETE", path) if turns is None else Call("PUT", path, dict(turns))

    @staticmethod
    def to_gateways(what: str, changes: Mapping[str, Any], gateway: str | None) -> Call:
        return Call("PUT", f"/v1/{what}", dict(changes), {} if gateway is None else {"gateway": gateway})

    @staticmethod
    def remedy(verb: str, arguments: Mapping[str, Any]) -> Call:
        path = f"/v1/remedies/{_part(verb)}"
        return Call("POST", path, dict(arguments), timeout_s=POWER_TIMEOUT_S, refusal_is_answer=True)

    @staticmethod
    def set_webhook(url: str, token: str, mark: str | None = None) -> Call:
        return Call("PUT", "/v1/webhook", {"url": url, "token": token, **({"mark": mark} if mark else {})})

    @staticmethod
    def put_lease(name: str, lease_s: float, undo: Sequence[Call]) -> Call:
        requests = [{"method": one.method, "path": one.path_and_query, "body": one.body} for one in undo]
        return Call("PUT", f"/v1/leases/{quote(name)}", {"lease_s": lease_s, "undo": requests})

    @staticmethod
    def release_lease(name: str) -> Call:
        return Call("DELETE", f"/v1/leases/{quote(name)}")

    @staticmethod
    def renew_leases(names: Sequence[str]) -> Call:
        return Call("POST", "/v1/leases", {"renew": list(names)})

    @staticmethod
    def down() -> Call:
        return Call("POST", "/v1/down", {})


def _waiting(path: str, since: int | None, wait_s: float) -> Call:
    query = {} if since is None else {"since": str(since), "wait": f"{wait_s:g}"}
    return Call("GET", path, query=query, timeout_s=wait_s + _WAIT_SLACK_S)


def _part(name: str) -> str:
    return quote(name, safe="")
