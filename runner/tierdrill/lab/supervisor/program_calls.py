"""Calls from the supervisor to the lab's own programs, directly and not through the fabric."""

import asyncio
from collections.abc import Awaitable
from typing import Any

from tierdrill.lab.node.http_client import JsonClient

CALL_TIMEOUT_S = 3.0


class CallFailed(Exception):
    """One of the lab's own programs did not answer, or refused. `status` is its HTTP status, 502 where none came."""

    def __init__(self, message: str, status: int = 502) -> None:
        super().__init__(message)
        self.status = status


async def call_program(
    address: str, token: str, who: str, method: str, path: str, body: dict[str, Any] | None, timeout_s: float
) -> dict[str, Any]:
    """What a program answers; CallFailed unless it says yes."""
    client = JsonClient(address, token)
    try:
        status, answer = await client.request(method, path, body, timeout_s=timeout_s)
    except OSError as error:
        raise CallFailed(f"{who}: {method} {path}: {type(error).__name__}: {error}") from error
    finally:
        client.close()
    if not isinstance(answer, dict) or status >= 300:
        raise CallFailed(_reason(answer) or f"{who}: {method} {path}: status {status}", status)
    return answer


async def together(*work: Awaitable[None]) -> None:
    """All at once; the first failure ends the others and is raised as it is."""

    async def done(one: Awaitable[None]) -> None:
        await one

    try:
        async with asyncio.TaskGroup() as group:
            for each in work:
                group.create_task(done(each))
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None


def _reason(answer: object) -> str | None:
    if isinstance(answer, dict):
        for key in ("reason", "error"):
            if answer.get(key):
                return str(answer[key])
    return None
