"""The JSON APIs of the lab's programs: rows of method, path and what is done, behind the lab's token."""

import hmac
import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tierdrill.monitoring.loopback import read_bounded
from tierdrill.text import read_json

BODY_BYTES_MAX = 16_000_000
WAIT_MAX_S = 30.0

Json = dict[str, Any]
At = Mapping[str, Any]
"""What the path and the query say."""

Work = Callable[[At, Json], Awaitable[Json] | Json]
"""Takes what path and query say, and the body's object ({} where there is none)."""


@dataclass(frozen=True)
class JsonApi:
    """Every route wants the token. An exception is a refusal, with the status that `statuses` gives its class, or its
    own `status`; else ValueError, KeyError and TypeError are 400.
    """

    token: str
    statuses: Mapping[type[Exception], int] = field(default_factory=dict)

    def route(self, method: str, path: str, work: Work) -> Route:
        expected = f"Bearer {self.token}".encode()

        async def endpoint(request: Request) -> Response:
            if not hmac.compare_digest(request.headers.get("authorization", "").encode(), expected):
                return _refusal(401, "a valid token is needed")
            try:
                has_body = request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
                said = await json_object(request) if has_body else {}
                done = work({**request.query_params, **request.path_params}, said)
                return JSONResponse(await done if inspect.isawaitable(done) else done)
            except Exception as error:
                for kind, status in self.statuses.items():
                    if isinstance(error, kind):
                        return _refusal(getattr(error, "status", status), str(error))
                if not isinstance(error, ValueError | KeyError | TypeError):
                    raise
                return _refusal(400, str(error) if isinstance(error, ValueError) else f"{type(error).__name__} {error}")

        return Route(path, endpoint, methods=[method])


def waiting(at: At) -> tuple[int | None, float]:
    """Of a question that may wait: the version or number that is known (`since`), and for how many seconds (`wait`)."""
    since = at.get("since")
    return None if since is None else int(since), min(WAIT_MAX_S, max(0.0, float(at.get("wait", "0"))))


async def json_object(request: Request) -> Json:
    """The request's JSON object; ValueError if it is none, is nested too deeply, or is too large."""
    try:
        found = read_json(await read_bounded(request, BODY_BYTES_MAX))
    except UnicodeDecodeError as error:
        raise ValueError("got bytes that are not UTF-8, expected a JSON object") from error
    except ValueError as error:
        raise ValueError(f"no JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"got a JSON {type(found).__name__}, expected an object")
    return found


def _refusal(status: int, reason: str) -> JSONResponse:
    return JSONResponse({"ok": False, "reason": reason}, status)
