"""Asking Prometheus and Alertmanager. No answer, an empty one or NaN is `NoData` with its reason, never a number.

PrometheusConnect's own defaults (no timeout, three retries) would let a partitioned Prometheus block a run for ever.
"""

import asyncio
import math
import ssl
from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import httpx
import requests
from prometheus_api_client import PrometheusConnect
from prometheus_api_client.exceptions import PrometheusApiClientException
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from tierdrill.credentials import HttpLogin, SecretMissing, explained
from tierdrill.monitoring.alert_names import unmarked

TIMEOUT_S = 2.0
OVERALL_S = 2.5
"""A call as a whole: requests' timeout counts each wait for bytes anew."""

QUERIES_AT_ONCE = 4
POINTS_MAX = 10_000
"""Prometheus refuses ranges of more than 11,000 points."""


@dataclass(frozen=True)
class NoData:
    """Nothing was learned. It is false, so `if not answer` reads as it should; it compares to no number."""

    reason: str

    def __bool__(self) -> bool:
        return False


@dataclass(frozen=True)
class Sample:
    """One series now."""

    labels: Mapping[str, str]
    value: float
    at: float


@dataclass(frozen=True)
class Series:
    """One series over a range: (Unix seconds, value), without NaN."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]


class _SessionLogin(requests.auth.AuthBase):
    def __init__(self, login: HttpLogin) -> None:
        self._login = login

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.update(self._login.headers())
        return request


class _TlsAdapter(HTTPAdapter):
    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__(max_retries=0)

    def init_poolmanager(self, *arguments: Any, **keywords: Any) -> None:
        super().init_poolmanager(*arguments, **keywords, ssl_context=self._context)


class _HttpxLogin(httpx.Auth):
    def __init__(self, login: HttpLogin) -> None:
        self._login = login

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers.update(self._login.headers())
        yield request


class Prometheus:
    """The query API. Calls run in threads, at most a few at once, each bounded in time."""

    def __init__(self, url: str, login: HttpLogin | None = None) -> None:
        self.url = url.rstrip("/")
        session = requests.Session()
        if login is not None:
            session.auth = _SessionLogin(login)
        session.trust_env = False  # a proxy of the environment has no business between us and loopback
        self._connect = PrometheusConnect(
            url=self.url, session=session, timeout=TIMEOUT_S, retry=Retry(total=0, redirect=0)
        )
        if login is not None and (context := login.tls()) is not None:
            # After the library has mounted its own.
            session.mount(self.url, _TlsAdapter(context))
        self._session = session
        self._slots = asyncio.Semaphore(QUERIES_AT_ONCE)

    async def instant(self, expression: str, at: float | None = None) -> list[Sample] | NoData:
        parameters = {} if at is None else {"time": f"{at:.3f}"}
        answer = await self._ask(lambda: self._connect.custom_query(expression, params=parameters))
        return answer if isinstance(answer, NoData) else samples_of(answer)

    async def range(self, expression: str, start: float, end: float, step_s: float) -> list[Series] | NoData:
        """The values of an expression over a range; the step grows where there would be too many points."""
        step_s = max(step_s, (end - start) / POINTS_MAX, 0.001)
        # The library rounds start and end to whole seconds; parameters win over its arguments.
        exact = {"start": f"{start:.3f}", "end": f"{end:.3f}"}
        begin, finish = datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(end, UTC)
        answer = await self._ask(
            lambda: self._connect.custom_query_range(expression, begin, finish, f"{step_s:.3f}", params=exact)
        )
        return answer if isinstance(answer, NoData) else series_of(answer)

    async def active_alerts(self) -> list[dict[str, str]] | NoData:
        """The labels of the alerts that its rules hold now, pending and firing; an empty list is an answer: none."""

        def ask() -> list[dict[str, str]]:
            # The library has no call for it.
            answer = self._session.get(f"{self.url}/api/v1/alerts", timeout=TIMEOUT_S, allow_redirects=False)
            if answer.status_code != requests.codes.ok:
                raise ValueError(f"HTTP {answer.status_code}")
            return [dict(one["labels"]) for one in answer.json()["data"]["alerts"]]

        answer: list[dict[str, str]] | NoData = await self._ask(ask)
        return answer

    def close(self) -> None:
        self._connect.close()

    async def _ask(self, call: Callable[[], Any]) -> Any | NoData:
        try:
            async with asyncio.timeout(OVERALL_S), self._slots:
                return await asyncio.to_thread(call)
        except TimeoutError:
            return NoData(f"no answer within {OVERALL_S:g} s")
        except (
            requests.RequestException, PrometheusApiClientException, SecretMissing, ValueError, KeyError, TypeError,
        ) as error:  # fmt: skip
            return NoData(_told(error))


def samples_of(result: Any) -> list[Sample] | NoData:
    """An instant answer, NaN left out; NoData if nothing is left."""
    if isinstance(result, list) and len(result) == 2 and not isinstance(result[0], Mapping):
        result = [{"metric": {}, "value": result}]  # a scalar
    try:
        samples = [
            Sample(dict(entry["metric"]), float(entry["value"][1]), float(entry["value"][0])) for entry in result
        ]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        return NoData(f"not a Prometheus answer: {_told(error)}")
    if not samples:
        return NoData("empty answer")
    return [sample for sample in samples if not math.isnan(sample.value)] or NoData("not a number")


def series_of(result: Any) -> list[Series] | NoData:
    """A range answer, NaN left out; NoData if nothing is left."""
    try:
        every = [
            Series(
                dict(entry["metric"]),
                tuple((float(at), float(value)) for at, value in entry["values"] if not math.isnan(float(value))),
            )
            for entry in result
        ]
    except (KeyError, TypeError, ValueError) as error:
        return NoData(f"not a Prometheus answer: {_told(error)}")
    if not every:
        return NoData("empty answer")
    return [series for series in every if series.points] or NoData("not a number")


class AlertmanagerClient:
    def __init__(
        self, url: str, transport: httpx.AsyncBaseTransport | None = None, login: HttpLogin | None = None
    ) -> None:
        self.url = url.rstrip("/")
        self._client = httpx.AsyncClient(
            base_url=self.url,
            timeout=TIMEOUT_S,
            trust_env=False,
            transport=transport,
            auth=_HttpxLogin(login) if login is not None else None,
            verify=(login.tls() if login is not None else None) or True,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._client.aclose()

    async def alerts(self, *, delivered_only: bool = False) -> list[dict[str, Any]] | NoData:
        """Alerts as Alertmanager holds them (labels, status, startsAt, ...); an empty list is an answer: none.

        `delivered_only` leaves out what is silenced, inhibited or not processed yet; all three default to true.
        """
        query = dict.fromkeys(("silenced", "inhibited", "unprocessed"), str(not delivered_only).lower())
        answer = await self._ask(self._client.get("/api/v2/alerts", params=query))
        if isinstance(answer, NoData):
            return answer
        if not isinstance(answer, list) or not all(isinstance(alert, dict) for alert in answer):
            return NoData("not an Alertmanager answer")
        return [unmarked(alert) for alert in answer]

    async def silences(self) -> list[dict[str, Any]] | NoData:
        """All silences, expired ones too."""
        answer = await self._ask(self._client.get("/api/v2/silences"))
        if isinstance(answer, NoData | list):
            return answer
        return NoData("not an Alertmanager answer")

    async def _ask(self, call: Awaitable[httpx.Response]) -> Any | NoData:
        try:
            async with asyncio.timeout(OVERALL_S):
                response = await call
            if response.status_code != httpx.codes.OK:
                return NoData(explained(f"HTTP {response.status_code}: {response.text.strip()[:200]}"))
            return response.json() if response.content else {}
        except TimeoutError:
            return NoData(f"no answer within {OVERALL_S:g} s")
        except (httpx.HTTPError, httpx.InvalidURL, SecretMissing, ValueError) as error:
            return NoData(_told(error))


def _told(error: Exception) -> str:
    told = explained(str(error))
    if told != str(error) or isinstance(error, SecretMissing):
        return told
    return f"{type(error).__name__}: {told}"[:300] if told else type(error).__name__
