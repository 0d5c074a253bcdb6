"""How fast a replica really generates: seconds per token, measured on one streamed answer of its own.

The time between the first and the last token is the GPU's; waiting for a slot and reading the prompt come before. It
is measured at the replica, not through a gateway, which would choose another one.
"""

from __future__ import annotations

import http.client
import json
import time
from dataclasses import dataclass

TOKENS = 9
TIMEOUT_S = 3.0


@dataclass(frozen=True)
class Rate:
    """One measurement; `at` is the Unix time of the first token."""

    seconds_per_token: float
    at: float


def measure(address: str, model: str, *, timeout_s: float = TIMEOUT_S) -> Rate | None:
    """Ask for a short answer; None if it did not come whole, or in one piece."""
    body = json.dumps({"model": model, "prompt": "how fast", "max_tokens": TOKENS, "stream": True})
    host, _, port = address.removeprefix("http://").rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=timeout_s)
    try:
        connection.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        if response.status != 200:
            return None
        first = last = at = 0.0
        tokens = 0
        for line in iter(response.readline, b""):
            words = _words(line)
            if words:
                last = time.monotonic()
                tokens += words
                if not first:
                    first, at, before = last, time.time(), words
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return Rate((last - first) / (tokens - before), at) if tokens == TOKENS and tokens > before else None


def _words(line: bytes) -> int:
    """Tokens in one event of the stream."""
    payload = line.strip().removeprefix(b"data: ")
    if not payload or payload == b"[DONE]" or payload == line.strip():
        return 0
    return len(str(json.loads(payload)["choices"][0].get("text", "")).split())
