"""One watch of the API: a single HTTP answer that goes on, read event by event, whose silence is noticed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import urllib3

from tierdrill.targets.kubernetes.api_errors import ApiError, WatchSilent, refused

EVENT_BYTES_MAX = 8_000_000


class Watch:
    """The raw events of one watch: `{"type": "ADDED", "object": {...}}`, bookmarks among them.

    The iteration ends when the server ends the watch, or `close` was called (by any thread). WatchSilent where nothing
    at all came in time; ApiError with status 410 where the version is too old, and with 0 where the connection broke.
    """

    def __init__(self, where: str, answer: Any, silence_s: float) -> None:
        self._where, self._answer, self._silence_s = where, answer, silence_s
        self._closed = False

    def __iter__(self) -> Iterator[dict[str, Any]]:
        rest = b""
        try:
            for piece in self._answer.stream(65_536, decode_content=True):
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    yield from self._event(line)
                if len(rest) > EVENT_BYTES_MAX:
                    raise ApiError(f"{self._where}: an event of a watch of more than {EVENT_BYTES_MAX} bytes")
        except urllib3.exceptions.ReadTimeoutError as error:
            if not self._closed:
                words = f"{self._where}: a watch was silent for {self._silence_s:g} s; its connection is lost"
                raise WatchSilent(words) from error
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            if not self._closed:
                raise ApiError(f"{self._where}: a watch broke off: {error}") from error
        finally:
            self._answer.close()

    def _event(self, line: bytes) -> Iterator[dict[str, Any]]:
        if not line.strip():
            return
        try:
            event = json.loads(line)
        except ValueError as error:
            raise ApiError(f"{self._where}: a watch gave something that is not JSON: {line[:100]!r}") from error
        if event.get("type") == "ERROR":
            raise refused(self._where, int(event["object"].get("code") or 0), json.dumps(event["object"]))
        yield event

    def close(self) -> None:
        """End it; who waits for its next event is woken."""
        self._closed = True
        try:
            self._answer.shutdown()
        except (OSError, ValueError, AttributeError):
            # It has ended already.
            self._answer.close()
