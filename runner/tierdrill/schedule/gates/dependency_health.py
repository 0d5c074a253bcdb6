"""Asking an environment's dependencies, each once what it needs is healthy: the cause is named, not what needs it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from tierdrill.documents.check.dependencies import split_endpoint
from tierdrill.documents.models.environment import Dependency
from tierdrill.documents.models.units import show_duration
from tierdrill.schedule.gates.gate_rules import DependencyFact

Ask = Callable[[Dependency], Awaitable[tuple[bool, str]]]


async def ask_all(dependencies: Sequence[Dependency], ask: Ask | None = None) -> list[DependencyFact]:
    """Every dependency in the order of the document; those of one level are asked at the same time.

    One that needs something unhealthy is not asked: `healthy` is None.
    """
    asker = ask or ask_one
    found: dict[str, DependencyFact] = {}
    left = list(dependencies)
    while left:
        ready = [one for one in left if all(need in found for need in one.needs)]
        # A circle cannot be: `tierdrill validate` refuses it. Were there one, nobody in it could be asked.
        if not ready:
            for one in left:
                found[one.name] = DependencyFact(one.name, False, "it depends on itself", one.needs)
            break
        healthy = [one for one in ready if all(found[need].healthy for need in one.needs)]
        answers = await asyncio.gather(*(asker(one) for one in healthy))
        for one, (good, seen) in zip(healthy, answers, strict=True):
            found[one.name] = DependencyFact(one.name, good, seen, one.needs)
        for one in ready:
            if one.name not in found:
                behind = ", ".join(need for need in one.needs if not found[need].healthy)
                found[one.name] = DependencyFact(one.name, None, f"not checked: it depends on {behind}", one.needs)
        left = [one for one in left if one.name not in found]
    return [found[one.name] for one in dependencies]


async def ask_one(dependency: Dependency) -> tuple[bool, str]:
    """Whether one dependency is healthy, and what was seen; never later than its timeout."""
    try:
        async with asyncio.timeout(dependency.timeout):
            if dependency.http is not None:
                return await _http(dependency.http, dependency.timeout)
            if dependency.tcp is not None:
                return await _tcp(dependency.tcp)
            return await asyncio.to_thread(_path, dependency.path or "")
    except TimeoutError:
        return False, f"no answer within {show_duration(dependency.timeout)}"


async def _http(url: str, timeout_s: float) -> tuple[bool, str]:
    import httpx

    try:
        async with httpx.AsyncClient(timeout=timeout_s, trust_env=False) as client:
            answer = await client.get(url)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return False, f"{url}: {error or type(error).__name__}"
    return answer.status_code < httpx.codes.BAD_REQUEST, f"{url}: status {answer.status_code}"


async def _tcp(endpoint: str) -> tuple[bool, str]:
    place = split_endpoint(endpoint)
    if place is None:
        return False, f"{endpoint} is no host:port"
    try:
        _, writer = await asyncio.open_connection(*place)
    except OSError as error:
        return False, f"{endpoint}: {error.strerror or error}"
    writer.close()
    return True, f"{endpoint} accepts connections"


def _path(path: str) -> tuple[bool, str]:
    try:
        Path(path).stat()
    except OSError as error:
        return False, f"{path}: {error.strerror}"
    return True, f"{path} is there"
