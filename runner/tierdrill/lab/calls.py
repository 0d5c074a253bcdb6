"""The requests of the lab's control API: what a client sends, and how long it waits for the answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import quote, urlencode

CALL_TIMEOUT_S = 3.0
POWER_TIMEOUT_S = 15.0
_WAIT_SLACK_S = 3.0
Power = Literal["on", "off", "cycle"]
Json = dict[str, Any]
T = TypeVar("T")


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


class Requests(Generic[T]):
    """The API, one method per request; what a method returns is what `ask` makes of the request."""

    def ask(self, call: Call) -> T:
        """Make a request, or only describe it."""
        raise NotImplementedError

    def get(self, path: str, gateway: str | None = None) -> T:
        """Ask a question of a whole lab, or of one gateway."""
        return self.ask(Call("GET", path, query=_of(gateway)))

    def status(self) -> T:
        """Processes, addresses, power; see the supervisor."""
        return self.get("/v1/status")

    def state(self, since: int | None = None, wait_s: float = 0.0) -> T:
        """The controller's view; with `since` (a former answer's version) waits for a change."""
        return self._waiting("/v1/state", since, wait_s)

    def event_log(self, since: int = 0, wait_s: float = 0.0) -> T:
        """Events after a sequence number; waits for one if there is none."""
        return self._waiting("/v1/events", since, wait_s)

    def agent(self, node: str) -> T:
        return self.get(f"/v1/nodes/{_part(node)}/agent")

    def power(self, node: str, state: Power) -> T:
        """Cut, give or cycle a node's power; answered once it is done."""
        return self._post(f"/v1/nodes/{_part(node)}/power", {"state": state}, POWER_TIMEOUT_S)

    def signal_replica(self, replica: str, signal: str) -> T:
        """KILL, STOP or CONT a replica's process."""
        return self._post(f"/v1/replicas/{_part(replica)}/signal", {"signal": signal})

    def start_replica(self, replica: str) -> T:
        """Start a replica that is not running; one that runs is left alone."""
        return self._post(f"/v1/replicas/{_part(replica)}/start", {}, POWER_TIMEOUT_S)

    def flip_bit(self, replica: str, index: int, bit: int, flipped: bool) -> T:
        """Have a bit of a weight flipped in a replica's memory, or as it was made."""
        return self._post(f"/v1/replicas/{_part(replica)}/flip", {"index": index, "bit": bit, "flipped": flipped})

    def change_errors(self, replica: str, percent: int) -> T:
        """Have a replica answer that many percent of its requests with errors; 0 for none."""
        return self._post(f"/v1/replicas/{_part(replica)}/errors", {"percent": percent})

    def roll_out(self, model: str, revision: str) -> T:
        """Have all replicas of a model load a published revision (reviewed, candidate) while they serve."""
        return self._put(f"/v1/models/{_part(model)}/revision", {"revision": revision})

    def corrupt_store(self, store: str, model: str, corrupt: bool) -> T:
        """Have a model's files in a store damaged, or as they were published."""
        return self._put(f"/v1/stores/{_part(store)}", {"model": model, "corrupt": corrupt})

    def signal_process(self, process: str, signal: str) -> T:
        """Signal a lab process by name (prometheus, gateway-a)."""
        return self._put(f"/v1/signals/{_part(process)}", {"signal": signal})

    def start_process(self, process: str) -> T:
        """Start a dead gateway, Prometheus, Alertmanager or node again; one that runs is left alone."""
        return self._post(f"/v1/processes/{_part(process)}/start", {}, POWER_TIMEOUT_S)

    def restart_process(self, process: str) -> T:
        """End a gateway, Prometheus or Alertmanager and start it again; a node is power-cycled."""
        return self._post(f"/v1/processes/{_part(process)}/restart", {}, POWER_TIMEOUT_S)

    def set_link(self, source: str, destination: str, mode: str, **settings: Any) -> T:
        """Put a link rule in force; mode `pass` removes it. See the fabric for the settings."""
        rule = {"source": source, "destination": destination, "mode": mode, **settings}
        return self._put("/v1/links", rule, POWER_TIMEOUT_S)

    def set_gpu(self, node: str, index: int, settings: Mapping[str, Any]) -> T:
        """Set a GPU's emulation; {"mode": "healthy"} heals it."""
        return self._post(f"/v1/gpus/{_part(node)}/{int(index)}", settings)

    def change_gpu(self, node: str, index: int, changes: Mapping[str, Any]) -> T:
        """Change some of a GPU's emulation; None takes an override away."""
        return self.ask(Call("PATCH", f"/v1/gpus/{_part(node)}/{int(index)}", dict(changes)))

    def taint_gpu(self, node: str, index: int, effect: str | None) -> T:
        """Put a taint on a GPU (None, NoSchedule, NoExecute as texts), or take it off; says whom it `evicts`."""
        return self._put(f"/v1/gpus/{_part(node)}/{int(index)}/taint", {"effect": effect})

    def set_exporter(self, node: str, up: bool, *, frozen: bool = False, with_clock: bool = False) -> T:
        """Stop a node's exporter of metrics, start it again, or have it repeat what it gives now (`frozen`), its own
        time as well (`with_clock`).
        """
        told = {"up": up, "frozen": frozen, "with_clock": with_clock}
        return self._put(f"/v1/nodes/{_part(node)}/exporter", told)

    def kernel_noise(self, node: str, xid: int, count: int, per_second: int, gpu: int | None = None) -> T:
        """Begin a burst of XID lines in a node's kernel log, of one GPU or of all."""
        burst = {"xid": xid, "count": count, "per_second": per_second, "gpu": gpu}
        return self._put(f"/v1/nodes/{_part(node)}/kernel-noise", burst)

    def stop_kernel_noise(self, node: str, gpu: int | None = None) -> T:
        """End the burst of a GPU, or of all of a node, in its kernel log, if one is in progress."""
        query = {} if gpu is None else {"gpu": str(gpu)}
        return self.ask(Call("DELETE", f"/v1/nodes/{_part(node)}/kernel-noise", query=query))

    def fill_disk(self, node: str, free_percent: int | None) -> T:
        """Let old weights take the room that a node has for weights, but for such a share; None: take them away."""
        return self._put(f"/v1/nodes/{_part(node)}/disk", {"free_percent": free_percent})

    def skew_clock(self, node: str, seconds: float) -> T:
        """Let a node tell the time so many seconds ahead; 0: as it is."""
        return self._put(f"/v1/nodes/{_part(node)}/clock", {"seconds": seconds})

    def stall(self, node: str, stopped_ms: float, runs_ms: float) -> T:
        """Let a node's processes be stopped and run by turns; 0 ms: they do not run again."""
        return self._put(f"/v1/nodes/{_part(node)}/stall", {"stopped_ms": stopped_ms, "runs_ms": runs_ms})

    def end_stall(self, node: str) -> T:
        return self.ask(Call("DELETE", f"/v1/nodes/{_part(node)}/stall"))

    def gateways(self, what: str, gateway: str | None = None) -> T:
        """What each gateway, or one, was told of a setting; see `to_gateways`."""
        return self.get(f"/v1/{what}", gateway)

    def to_gateways(self, what: str, changes: Mapping[str, Any], gateway: str | None = None) -> T:
        """Change a setting of all gateways, or of one.

        `flags` are on or off, `weights` shares of a node or a GPU, `shed` the fraction of a tier that is turned away,
        `caps` the requests a second that a tier is held to (None takes the cap away), `picker` whether it is `up`,
        `retries` the share of retries that a tier is held to, `policy` what of a tier's policy is not as configured,
        `overrides` until when (Unix seconds) a rule of a tier, as `TIER/RULE`, is lifted (None: it holds again).
        """
        return self.ask(Call("PUT", f"/v1/{what}", dict(changes), _of(gateway)))

    def remedy(self, verb: str, arguments: Mapping[str, Any]) -> T:
        """Carry out a remedy of the controller. A refusal is an answer: {"ok": false, "reason": ...}."""
        path = f"/v1/remedies/{_part(verb)}"
        return self.ask(Call("POST", path, dict(arguments), timeout_s=POWER_TIMEOUT_S, refusal_is_answer=True))

    def set_webhook(self, url: str, token: str, mark: str | None = None) -> T:
        """Where Alertmanager notifies from now on, and the mark that the alerts carry."""
        return self._put("/v1/webhook", {"url": url, "token": token, **({"mark": mark} if mark else {})})

    def put_lease(self, name: str, lease_s: float, undo: Sequence[Call]) -> T:
        """Let the lab make these requests by itself in so many seconds, unless the lease is renewed or released."""
        requests = [{"method": one.method, "path": one.path_and_query, "body": one.body} for one in undo]
        return self._put(f"/v1/leases/{quote(name)}", {"lease_s": lease_s, "undo": requests})

    def release_lease(self, name: str) -> T:
        """It was undone: the lab need not."""
        return self.ask(Call("DELETE", f"/v1/leases/{quote(name)}"))

    def renew_leases(self, names: Sequence[str]) -> T:
        return self._post("/v1/leases", {"renew": list(names)})

    def down(self) -> T:
        """Ask the lab to end; it answers first. `down_lab` waits for the end."""
        return self._post("/v1/down", {})

    def _put(self, path: str, body: Json, timeout_s: float = CALL_TIMEOUT_S) -> T:
        return self.ask(Call("PUT", path, body, timeout_s=timeout_s))

    def _post(self, path: str, body: Mapping[str, Any], timeout_s: float = CALL_TIMEOUT_S) -> T:
        return self.ask(Call("POST", path, dict(body), timeout_s=timeout_s))

    def _waiting(self, path: str, since: int | None, wait_s: float) -> T:
        query = {} if since is None else {"since": str(since), "wait": f"{wait_s:g}"}
        return self.ask(Call("GET", path, query=query, timeout_s=wait_s + _WAIT_SLACK_S))


class _Described(Requests[Call]):
    def ask(self, call: Call) -> Call:
        return call


Calls = _Described()
"""The API's requests, as data."""


def _of(gateway: str | None) -> dict[str, str]:
    return {} if gateway is None else {"gateway": gateway}


def _part(name: str) -> str:
    return quote(name, safe="")
