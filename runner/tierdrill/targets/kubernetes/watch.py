"""The objects of one list as they are now: a list, then watches from there on, in a thread of its own.

A server ends a watch after a while by agreement, and says something before; one that is silent longer was lost on the
way. After a break, or where the server remembers too little, the objects are listed anew, and what differs is told as
changes that were `relisted`: what happened between is not known. A restarted API server forgets, so that is the rule.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tierdrill.targets.base import TargetError
from tierdrill.targets.kubernetes.api_errors import ApiError
from tierdrill.targets.kubernetes.connect import Cluster

Raw = Mapping[str, Any]
WATCH_S, SILENCE_S = 30, 40.0
BACKOFF_MIN_S, BACKOFF_MAX_S = 0.2, 5.0
UNAUTHORIZED, FORBIDDEN, NOT_FOUND, TOO_OLD = 401, 403, 404, 410
HOPELESS = (UNAUTHORIZED, FORBIDDEN, NOT_FOUND)
"""Answers that will be the same when asked again."""


@dataclass(frozen=True)
class Change:
    """An object before and after a change; None where it was not there. `at` is when it was heard of (Unix seconds)."""

    before: Raw | None
    after: Raw | None
    at: float
    relisted: bool


class ObjectWatch:
    """The objects behind one path (such as /api/v1/nodes), by uid, while `run` is at work in a thread.

    `changed` gets every change (and those of the first list), `gap` the seconds in which nothing was heard with the
    reason, once it is over.
    """

    def __init__(
        self,
        cluster: Cluster,
        path: str,
        changed: Callable[[Change], object],
        gap: Callable[[float, str], object] = lambda seconds, reason: None,
        *,
        labels: str = "",
        fields: str = "",
    ) -> None:
        self._cluster, self.path, self._changed, self._gap = cluster, path, changed, gap
        self._labels, self._fields = labels, fields
        self.objects: dict[str, Raw] = {}
        self.listed = threading.Event()
        self._closed = threading.Event()
        self._stream: Any = None

    def run(self) -> None:
        """Until `close`; TargetError where asking again would help nothing."""
        backoff_s, heard, reason, version = BACKOFF_MIN_S, time.monotonic(), "", ""
        while not self._closed.is_set():
            try:
                if not version:
                    version = self._list()
                if reason:
                    self._gap(time.monotonic() - heard, reason)
                    reason = ""
                backoff_s = BACKOFF_MIN_S
                version = self._watch(version)
                heard = time.monotonic()
            except ApiError as error:
                if error.status in HOPELESS:
                    raise
                if not reason:
                    heard = time.monotonic()
                version, reason = "", str(error)
                self._closed.wait(backoff_s * random.uniform(0.5, 1.0))  # noqa: S311 - spreads the callers
                backoff_s = min(BACKOFF_MAX_S, backoff_s * 2)

    def close(self) -> None:
        """End it, from any thread."""
        self._closed.set()
        if (stream := self._stream) is not None:
            stream.close()

    def await_list(self, within_s: float) -> None:
        """Until the first list has come; TargetError where it does not in time."""
        if not self.listed.wait(within_s):
            raise TargetError(f"{self.path}: not listed within {within_s:g} s")

    def _list(self) -> str:
        found: dict[str, Raw] = {}
        page: Raw = {}
        for page in self._cluster.chunks(self.path, labels=self._labels, fields=self._fields):
            found |= {item["metadata"]["uid"]: item for item in page.get("items") or ()}
        before, self.objects = self.objects, found
        again, now = self.listed.is_set(), time.time()
        for uid in before.keys() | found.keys():
            old, new = before.get(uid), found.get(uid)
            if old is None or new is None or _version(old) != _version(new):
                self._changed(Change(old, new, now, again))
        self.listed.set()
        return str(page["metadata"]["resourceVersion"])

    def _watch(self, version: str) -> str:
        """One watch to its end; where to go on from."""
        self._stream = self._cluster.watch(
            self.path, version, labels=self._labels, fields=self._fields, seconds=WATCH_S, silence_s=SILENCE_S
        )
        if self._closed.is_set():
            self._stream.close()
        for event in self._stream:
            item = event["object"]
            version = str(item["metadata"]["resourceVersion"])
            if event["type"] == "BOOKMARK":
                continue
            uid, gone = item["metadata"]["uid"], event["type"] == "DELETED"
            before = self.objects.pop(uid, None) if gone else self.objects.get(uid)
            if not gone:
                self.objects[uid] = item
            if before is not None or not gone:
                self._changed(Change(before, None if gone else item, time.time(), relisted=False))
        return version


def _version(item: Raw) -> str:
    return str(item["metadata"].get("resourceVersion"))
