"""The bodies that the lab's programs take: JSON objects, bounded, with valid texts."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from tierdrill.monitoring.loopback import read_bounded
from tierdrill.text import read_json

BODY_BYTES_MAX = 16_000_000


async def json_object(request: Request) -> dict[str, Any]:
    """The request's JSON object; ValueError if it is none, is nested too deeply, or is too large."""
    try:
        found = read_json(await read_bounded(request, BODY_BYTES_MAX))
    except UnicodeDecodeError as error:
        raise ValueError("found bytes that are not UTF-8; allowed is a JSON object") from error
    except ValueError as error:
        raise ValueError(f"found no JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"found a JSON {type(found).__name__}; allowed is an object")
    return found
