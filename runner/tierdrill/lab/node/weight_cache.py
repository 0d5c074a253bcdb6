"""The node's cache of weights, by their SHA-256: what is in it need not be asked for again, unless it is damaged.

A pull that failed is not tried again before its time: the wait doubles up to RETRY_S_MAX, so that a store that comes
back is not met by everybody at once.
"""

import hashlib
import logging
import time
from collections.abc import Mapping
from pathlib import Path

from tierdrill.lab.node.http_client import JsonClient

PULL_TIMEOUT_S = 1.0
RETRY_S, RETRY_S_MAX = 0.25, 2.0
UNREACHABLE, CORRUPT = "unreachable", "corrupt"
_log = logging.getLogger("tierdrill.node")


class PullFailed(Exception):
    """There are no such weights here, and none could be had: from which store, and why (unreachable, corrupt)."""

    def __init__(self, store: str, reason: str, told: str) -> None:
        super().__init__(f"{store}: {told}")
        self.store, self.reason = store, reason


class WeightCache:
    """The first of the `stores` (name to address) is asked; the others only where they are named."""

    def __init__(self, folder: Path, stores: Mapping[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._stores = dict(stores)
        self._failed: dict[str, tuple[float, float, PullFailed]] = {}

    @property
    def mirrors(self) -> tuple[str, ...]:
        return tuple(self._stores)[1:]

    def path(self, checksum: str) -> Path:
        return self._folder / checksum

    def has(self, checksum: str) -> bool:
        """Whether they are here, and right."""
        try:
            return _sum(self.path(checksum).read_bytes()) == checksum
        except OSError:
            return False

    async def need(self, checksum: str) -> Path:
        """The file of these weights, from the store where they are not here; PullFailed."""
        if not self.has(checksum):
            began, wait_s, former = self._failed.get(checksum, (0.0, 0.0, None))
            if former is not None and time.monotonic() - began < wait_s:
                raise former
            try:
                await self.pull(checksum, next(iter(self._stores), ""))
            except PullFailed as failed:
                self._failed[checksum] = (time.monotonic(), min(RETRY_S_MAX, max(RETRY_S, 2 * wait_s)), failed)
                raise
        self._failed.pop(checksum, None)
        return self.path(checksum)

    async def pull(self, checksum: str, store: str) -> None:
        """Get them from that store, once, and only if they are right; PullFailed."""
        if store not in self._stores:
            raise PullFailed(store, UNREACHABLE, f"no such model store, expected one of: {', '.join(self._stores)}")
        client = JsonClient(self._stores[store])
        try:
            status, data = await client.fetch("GET", f"/blobs/{checksum}", timeout_s=PULL_TIMEOUT_S)
        except OSError as error:
            raise self._refused(store, UNREACHABLE, f"{type(error).__name__} {error}".strip(), checksum) from error
        finally:
            client.close()
        if status != 200:
            raise self._refused(store, UNREACHABLE, f"status {status}", checksum)
        if (found := _sum(data)) != checksum:
            raise self._refused(store, CORRUPT, f"got SHA-256 {found}", checksum)
        draft = self.path(f"{checksum}.part")
        draft.write_bytes(data)
        draft.replace(self.path(checksum))

    def _refused(self, store: str, reason: str, told: str, checksum: str) -> PullFailed:
        _log.warning("weights %s from %s: %s", checksum[:12], store, told)
        return PullFailed(store, reason, told)


def _sum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
