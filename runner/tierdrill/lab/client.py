"""The lab's control API for Python: one method per call, synchronous and asynchronous over the same `Calls`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import httpx

from tierdrill.lab.calls import CALL_TIMEOUT_S, Call, Calls, Json, Power
from tierdrill.lab.lab_files import LabState

CONNECT_TIMEOUT_S = 1.0


class LabError(Exception):
    """The lab could not be reached, or refused. `status` is the HTTP status, None where there was no answer."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class LabClient:
    """A lab's control API, synchronous. Safe to use from several threads."""

    def __init__(self, lab: LabState) -> None:
        self.lab = lab
        self._http = httpx.Client(**_options(lab))

    def __enter__(self) -> LabClient:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Drop the connections."""
        self._http.close()

    def status(self) -> Json:
        """Processes, addresses, power; see the supervisor."""
        return self._ask(Calls.status())

    def state(self, since: int | None = None, wait_s: float = 0.0) -> Json:
        """The controller's view; with `since` (a former answer's version) waits for a change."""
        return self._ask(Calls.state(since, wait_s))

    def events(self, since: int = 0, wait_s: float = 0.0) -> list[Json]:
        """Events after a sequence number; waits for one if there is none."""
        return list(self._ask(Calls.events(since, wait_s))["events"])

    def power(self, node: str, state: Power) -> Json:
        """Cut, give or cycle a node's power; returns once it is done."""
        return self._ask(Calls.power(node, state))

    def signal_replica(self, replica: str, signal: str) -> Json:
        """KILL, STOP or CONT a replica's process."""
        return self._ask(Calls.signal_replica(replica, signal))

    def start_replica(self, replica: str) -> Json:
        """Start a replica that is not running; one that runs is left alone."""
        return self._ask(Calls.start_replica(replica))

    def flip_bit(self, replica: str, index: int, bit: int, flipped: bool) -> Json:
        """Have a bit of a weight flipped in a replica's memory, or as it was made."""
        return self._ask(Calls.flip_bit(replica, index, bit, flipped))

    def change_errors(self, replica: str, percent: int) -> Json:
        """Have a replica answer that many percent of its requests with errors; 0 for none."""
        return self._ask(Calls.change_errors(replica, percent))

    def signal_process(self, process: str, signal: str) -> Json:
        """Signal a lab process by name (prometheus, gateway-a)."""
        return self._ask(Calls.signal_process(process, signal))

    def start_process(self, process: str) -> Json:
        """Start a dead gateway, Prometheus, Alertmanager or node again; one that runs is left alone."""
        return self._ask(Calls.start_process(process))

    def restart_process(self, process: str) -> Json:
        """End a gateway, Prometheus or Alertmanager and start it again; a node is power-cycled."""
        return self._ask(Calls.restart_process(process))

    def set_link(self, source: str, destination: str, mode: str, **settings: Any) -> Json:
        """Put a link rule in force; mode `pass` removes it. See the fabric for the settings."""
        return self._ask(Calls.set_link(source, destination, mode, settings))

    def links(self) -> list[Json]:
        """Link rules in force."""
        return list(self._ask(Calls.get("/v1/links"))["links"])

    def edges(self) -> list[Json]:
        """The fabric's edges: id, source, destination, target, listen."""
        return list(self._ask(Calls.get("/v1/edges"))["edges"])

    def fabric_stats(self) -> Json:
        """Bytes and connections per edge, hosts without power, the fabric's own lateness."""
        return self._ask(Calls.get("/v1/fabric"))

    def set_gpu(self, node: str, index: int, settings: Mapping[str, Any]) -> Json:
        """Set a GPU's emulation; {"mode": "healthy"} heals it."""
        return self._ask(Calls.set_gpu(node, index, settings))

    def change_gpu(self, node: str, index: int, changes: Mapping[str, Any]) -> Json:
        """Change some of a GPU's emulation; None takes an override away."""
        return self._ask(Calls.change_gpu(node, index, changes))

    def set_exporter(self, node: str, up: bool) -> Json:
        """Stop a node's exporter of metrics, or start it again."""
        return self._ask(Calls.set_exporter(node, up))

    def kernel_noise(self, node: str, xid: int, count: int, per_second: int) -> Json:
        """Begin a burst of XID lines in a node's kernel log."""
        return self._ask(Calls.kernel_noise(node, {"xid": xid, "count": count, "per_second": per_second}))

    def stop_kernel_noise(self, node: str) -> Json:
        """End the burst in a node's kernel log, if one goes on."""
        return self._ask(Calls.kernel_noise(node, None))

    def stall(self, node: str, stopped_ms: float, runs_ms: float) -> Json:
        """Let a node's processes be stopped and run by turns; 0 ms: they do not run again."""
        return self._ask(Calls.stall(node, {"stopped_ms": stopped_ms, "runs_ms": runs_ms}))

    def end_stall(self, node: str) -> Json:
        """Let a node's processes run again."""
        return self._ask(Calls.stall(node, None))

    def agent(self, node: str) -> Json:
        """What a node's own agent says."""
        return self._ask(Calls.agent(node))

    def flags(self) -> dict[str, Json]:
        """Each gateway's flags."""
        return self._ask(Calls.get("/v1/flags"))

    def set_flags(self, changes: Mapping[str, bool], gateway: str | None = None) -> dict[str, Json]:
        """Change flags of all gateways, or of one."""
        return self._ask(Calls.to_gateways("flags", changes, gateway))

    def picker(self, gateway: str | None = None) -> dict[str, Json]:
        """Each gateway's endpoint picker, or one's: whether it is up, and how requests find a replica."""
        return self._ask(Call("GET", "/v1/picker", query={} if gateway is None else {"gateway": gateway}))

    def set_picker(self, up: bool, gateway: str | None = None) -> dict[str, Json]:
        """Take the endpoint picker from all gateways or from one, or give it back."""
        return self._ask(Calls.to_gateways("picker", {"up": up}, gateway))

    def weights(self) -> dict[str, Json]:
        """Each gateway's weights per node."""
        return self._ask(Calls.get("/v1/weights"))

    def set_weights(self, changes: Mapping[str, float], gateway: str | None = None) -> dict[str, Json]:
        """Change the weights of nodes at all gateways, or at one."""
        return self._ask(Calls.to_gateways("weights", changes, gateway))

    def shed(self) -> dict[str, Json]:
        """Each gateway's shed fractions per tier."""
        return self._ask(Calls.get("/v1/shed"))

    def set_shed(self, changes: Mapping[str, float], gateway: str | None = None) -> dict[str, Json]:
        """Change the fraction of a tier that is turned away."""
        return self._ask(Calls.to_gateways("shed", changes, gateway))

    def caps(self) -> dict[str, Json]:
        """Each gateway's caps per tier, in requests a second."""
        return self._ask(Calls.get("/v1/caps"))

    def set_caps(self, changes: Mapping[str, float | None], gateway: str | None = None) -> dict[str, Json]:
        """Hold tiers to a rate at every gateway (requests a second each); None takes the cap away."""
        return self._ask(Calls.to_gateways("caps", changes, gateway))

    def told(self, what: str, gateway: str) -> Json:
        """What one gateway was told: its flags, weights, shed or caps."""
        return dict(self._ask(Call("GET", f"/v1/{what}", query={"gateway": gateway}))[gateway])

    def tell(self, what: str, changes: Mapping[str, Any], gateway: str) -> Json:
        """Change flags, weights, shed or caps at one gateway."""
        return self._ask(Calls.to_gateways(what, changes, gateway))

    def remedy(self, verb: str, arguments: Mapping[str, Any]) -> Json:
        """Carry out a remedy of the controller. A refusal is an answer: {"ok": false, "reason": ...}."""
        return self._ask(Calls.remedy(verb, arguments))

    def put_lease(self, name: str, lease_s: float, undo: Sequence[Call]) -> Json:
        """Let the lab make these requests by itself in so many seconds, unless the lease is renewed or released."""
        return self._ask(Calls.put_lease(name, lease_s, undo))

    def release_lease(self, name: str) -> Json:
        """It was undone: the lab need not."""
        return self._ask(Calls.release_lease(name))

    def renew_leases(self, names: Sequence[str]) -> Json:
        """Let leases begin anew."""
        return self._ask(Calls.renew_leases(names))

    def leases(self) -> list[Json]:
        """Every lease: its name, its state (held, undoing, undone, stuck), the seconds that are left."""
        return list(self._ask(Calls.get("/v1/leases"))["leases"])

    def set_webhook(self, url: str, token: str, mark: str | None = None) -> Json:
        """Where Alertmanager notifies from now on, and the mark that the alerts carry."""
        return self._ask(Calls.set_webhook(url, token, mark))

    def down(self) -> Json:
        """Ask the lab to end; it answers first. `down_lab` waits for the end."""
        return self._ask(Calls.down())

    def _ask(self, call: Call) -> Json:
        try:
            return _answer(self.lab, call, self._http.request(**_request(call)))
        except httpx.HTTPError as error:
            raise _unreachable(self.lab, call, error) from error


class AsyncLabClient:
    """The same calls, asynchronous: `await client.ask(Calls.power("node-1", "off"))`."""

    def __init__(self, lab: LabState) -> None:
        self.lab = lab
        self._http = httpx.AsyncClient(**_options(lab))

    async def __aenter__(self) -> AsyncLabClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Drop the connections."""
        await self._http.aclose()

    async def ask(self, call: Call) -> Json:
        """Make one of `Calls`' requests."""
        try:
            return _answer(self.lab, call, await self._http.request(**_request(call)))
        except httpx.HTTPError as error:
            raise _unreachable(self.lab, call, error) from error

    async def status(self) -> Json:
        """Processes, addresses, power."""
        return await self.ask(Calls.status())

    async def state(self, since: int | None = None, wait_s: float = 0.0) -> Json:
        """The controller's view; with `since` waits for a change."""
        return await self.ask(Calls.state(since, wait_s))

    async def events(self, since: int = 0, wait_s: float = 0.0) -> list[Json]:
        """Events after a sequence number; waits for one if there is none."""
        return list((await self.ask(Calls.events(since, wait_s)))["events"])

    async def remedy(self, verb: str, arguments: Mapping[str, Any]) -> Json:
        """Carry out a remedy of the controller; a refusal is an answer."""
        return await self.ask(Calls.remedy(verb, arguments))


def _options(lab: LabState) -> dict[str, Any]:
    # The environment's proxies know nothing of loopback labs.
    return {
        "base_url": f"http://{lab.address}",
        "headers": {"Authorization": f"Bearer {lab.token}"},
        "trust_env": False,
        "timeout": httpx.Timeout(CALL_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
    }


def _request(call: Call) -> dict[str, Any]:
    return {
        "method": call.method,
        "url": call.path,
        "json": call.body,
        "params": dict(call.query),
        "timeout": httpx.Timeout(call.timeout_s, connect=CONNECT_TIMEOUT_S),
    }


def _answer(lab: LabState, call: Call, response: httpx.Response) -> Json:
    try:
        document = response.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise LabError(
            f"lab {lab.name}: {call.method} {call.path}: status {response.status_code}, not JSON", response.status_code
        )
    if response.is_success or (call.refusal_is_answer and document.get("ok") is False):
        return document
    reason = document.get("reason", document)
    raise LabError(f"lab {lab.name}: {call.method} {call.path}: {reason}", response.status_code)


def _unreachable(lab: LabState, call: Call, error: httpx.HTTPError) -> LabError:
    return LabError(f"lab {lab.name} at {lab.address}: {call.method} {call.path}: {type(error).__name__}: {error}")
