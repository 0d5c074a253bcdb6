"""How fast a replica really generates: seconds per token, measured on one streamed answer of its own.

The time between tokens is the GPU's; waiting for a slot and reading the prompt come before the first. It is measured at
the replica, not through a gateway, which would choose another one. The median over the pieces of the answer is taken:
on a busy machine single ones are read late, and the next ones then come at once.
"""

import http.client
import itertools
import json
import statistics
import time
from collections.abc import Iterable
from dataclasses import dataclass

from tierdrill.targets.lab.lab_fault import connect

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
    connection = connect(address.removeprefix("http://"), timeout_s)
    pieces: list[tuple[float, int]] = []
    at = 0.0
    try:
        connection.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        if response.status != 200:
            return None
        for line in iter(response.readline, b""):
            if tokens := _tokens(line):
                at = at or time.time()
                pieces.append((time.monotonic(), tokens))
    except (OSError, http.client.HTTPException, ValueError, KeyError, IndexError, TypeError):
        return None
    finally:
        connection.close()
    if sum(tokens for _, tokens in pieces) != TOKENS or len(pieces) < 2:
        return None
    return Rate(seconds_per_token(pieces), at)


def seconds_per_token(pieces: Iterable[tuple[float, int]]) -> float:
    """The median time per token between pieces, each given as (when it came, how many tokens it had)."""
    return statistics.median((now - before) / tokens for (before, _), (now, tokens) in itertools.pairwise(pieces))


def _tokens(line: bytes) -> int:
    """How many tokens one line of the stream brings."""
    name, _, payload = line.strip().partition(b": ")
    if name != b"data" or payload == b"[DONE]":
        return 0
    return len(str(json.loads(payload)["choices"][0]["text"]).split())
