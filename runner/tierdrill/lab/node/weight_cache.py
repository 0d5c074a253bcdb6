"""The node's cache of weights, by their SHA-256: what is in it need not be asked for again, unless it is damaged.

It has a quota, as the disk of a node has a size: weights that there is no room for are not taken.

A pull that failed is not tried again before its time: the wait doubles up to RETRY_S_MAX, so that a store that comes
back is not met by everybody at once.
"""

import hashlib
import logging
import time
from collections.abc import Collection, Mapping
from pathlib import Path

from tierdrill.lab.node.http_client import JsonClient

PULL_TIMEOUT_S = 1.0
RETRY_S, RETRY_S_MAX = 0.25, 2.0
UNREACHABLE, CORRUPT, DISK_FULL = "unreachable", "corrupt", "disk-full"
FOLDER, OLD = "weights", "0" * 64
"""Where a node keeps them, and the file that old ones are in which no replica needs."""
QUOTA_BYTES = 1 << 20
_log = logging.getLogger("tierdrill.node")


class PullFailed(Exception):
    """There are no such weights here, and none could be had: from which store, and why (unreachable, corrupt, or there
    is no room: disk-full).
    """

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
        if (free := free_bytes(self._folder)) < len(data):
            raise self._refused(store, DISK_FULL, f"{len(data)} bytes, and {free} are free", checksum)
        draft = self.path(f"{checksum}.part")
        draft.write_bytes(data)
        draft.replace(self.path(checksum))

    def free_bytes(self) -> int:
        return free_bytes(self._folder)

    def prune(self, keep: Collection[str]) -> int:
        """Delete what is not to be kept; how many bytes that gave back."""
        others = [file for file in self._folder.iterdir() if file.name not in keep]
        freed = sum(file.stat().st_size for file in others)
        for file in others:
            file.unlink(missing_ok=True)
        return freed

    def _refused(self, store: str, reason: str, told: str, checksum: str) -> PullFailed:
        _log.warning("weights %s from %s: %s", checksum[:12], store, told)
        return PullFailed(store, reason, told)


def _sum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def free_bytes(folder: Path) -> int:
    """What is left of the quota."""
    return max(0, QUOTA_BYTES - sum(file.stat().st_size for file in folder.glob("*")))


def fill(folder: Path, free_percent: int | None) -> None:
    """Let old weights take so much room that this share of the quota is free; None: there are none."""
    old = folder / OLD
    old.unlink(missing_ok=True)
    if free_percent is not None:
        old.write_bytes(bytes(max(0, free_bytes(folder) - QUOTA_BYTES * free_percent // 100)))
