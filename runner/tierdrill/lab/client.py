"""The lab's control API for Python: synchronous and asynchronous over the same `Requests`."""

from collections.abc import Coroutine
from typing import Any, Self

import httpx

from tierdrill.lab.calls import CALL_TIMEOUT_S, Call, Json, Requests
from tierdrill.lab.lab_files import LabState
from tierdrill.text import Explained

CONNECT_TIMEOUT_S = 1.0


class LabError(Explained):
    """The lab could not be reached, or refused. `status` is the HTTP status, None where there was no answer."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class LabClient(Requests[Json]):
    """A lab's control API, synchronous. Safe to use from several threads."""

    def __init__(self, lab: LabState) -> None:
        self.lab = lab
        self._http = httpx.Client(**_options(lab))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def ask(self, call: Call) -> Json:
        """Make a request, and wait for its answer; LabError where there is none, or a refusal."""
        try:
            return _answer(self.lab, call, self._http.request(**_request(call)))
        except httpx.HTTPError as error:
            raise _unreachable(self.lab, call, error) from error

    def events(self, since: int = 0, wait_s: float = 0.0) -> list[Json]:
        """As `event_log`, the events alone."""
        return list(self.event_log(since, wait_s)["events"])

    def links(self) -> list[Json]:
        return list(self.get("/v1/links")["links"])

    def edges(self) -> list[Json]:
        """The fabric's edges: id, source, destination, target, listen."""
        return list(self.get("/v1/edges")["edges"])

    def leases(self) -> list[Json]:
        """Every lease: its name, its state (held, undoing, undone, stuck), the seconds that are left."""
        return list(self.get("/v1/leases")["leases"])

    def told(self, what: str, gateway: str) -> Json:
        """What one gateway was told: its flags, weights, shed or caps."""
        return dict(self.get(f"/v1/{what}", gateway)[gateway])


class AsyncLabClient(Requests[Coroutine[Any, Any, Json]]):
    """The same, asynchronous."""

    def __init__(self, lab: LabState) -> None:
        self.lab = lab
        self._http = httpx.AsyncClient(**_options(lab))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._http.aclose()

    async def ask(self, call: Call) -> Json:
        """Make a request; LabError as from the other client."""
        try:
            return _answer(self.lab, call, await self._http.request(**_request(call)))
        except httpx.HTTPError as error:
            raise _unreachable(self.lab, call, error) from error

    async def events(self, since: int = 0, wait_s: float = 0.0) -> list[Json]:
        """As `event_log`, the events alone."""
        return list((await self.event_log(since, wait_s))["events"])


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
