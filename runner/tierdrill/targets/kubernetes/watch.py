"""The objects of one list as they are now: a list, then watches from there on, in a thread of its own.

A server ends a watch after a while by agreement, and says something before; one that is silent longer was lost on the
way. After a break, or where the server remembers too little, the objects are listed anew, and what differs is told as
changes that were `relisted`: what happened between is not known. A restarted API server forgets, so that is the rule.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import SchemaValidator

from tierdrill.targets.base import TargetError
from tierdrill.targets.kubernetes.api_errors import ApiError
from tierdrill.targets.kubernetes.connect import ANYTHING, Cluster

Raw = Mapping[str, Any]
WATCH_S, SILENCE_S = 30, 40.0
SHORT_S = 1.0
"""A watch that the server ends sooner than this is not begun anew at once."""
BACKOFF_MIN_S, BACKOFF_MAX_S = 0.2, 5.0
GAP_S = 10.0
"""So long nothing need be heard before a gap is told that is not over yet."""
UNAUTHORIZED, FORBIDDEN, NOT_FOUND, TOO_OLD = 401, 403, 404, 410
HOPELESS = (UNAUTHORIZED, FORBIDDEN, NOT_FOUND)
"""Answers that will be the same when asked again."""


@dataclass(frozen=True)
class Change:
    """What is kept of an object before and after a change; None where it was not there. `at` is when it was heard of
    (Unix seconds), `first`: it was there when the watch began.
    """

    before: Any
    after: Any
    at: float
    relisted: bool
    first: bool = False


class ObjectWatch:
    """The objects behind one path (such as /api/v1/nodes), by uid, while `run` is at work in a thread.

    `changed` gets every change (and those of the first list), `gap` the seconds in which nothing was heard with the
    reason: once it is over, and before where it lasts. `keep` makes of the API's JSON what is kept of an object, and
    reads of a list no more than its `shape` names.
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
        keep: Callable[[Raw], Any] = lambda raw: raw,
        shape: SchemaValidator = ANYTHING,
    ) -> None:
        self._cluster, self.path, self._changed, self._gap = cluster, path, changed, gap
        self._labels, self._fields, self._keep, self._shape = labels, fields, keep, shape
        self.objects: dict[str, Any] = {}
        self._versions: dict[str, str] = {}
        self.listed = threading.Event()
        self._closed = threading.Event()
        self._stream: Any = None
        self._heard = time.monotonic()

    def run(self) -> None:
        """Until `close`; TargetError where asking again would help nothing."""
        backoff_s, reason, version = BACKOFF_MIN_S, "", ""
        while not self._closed.is_set():
            begun = time.monotonic()
            try:
                if not version:
                    version = self._list()
                if reason:
                    self._gap(time.monotonic() - self._heard, reason)
                    reason = ""
                self._heard = time.monotonic()
                version = self._watch(version)
                self._heard = time.monotonic()
                broken = ""
            except ApiError as error:
                if error.status in HOPELESS:
                    raise
                version, broken = "", str(error)
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                version, broken = "", f"{self.path}: not what an API server answers: {type(error).__name__} {error}"
            if time.monotonic() - begun >= SHORT_S:
                backoff_s = BACKOFF_MIN_S
                if not broken:
                    continue
            reason = broken and (reason or broken)
            if reason and (silent := time.monotonic() - self._heard) > GAP_S:
                self._gap(silent, reason)
            self._closed.wait(backoff_s * random.uniform(0.5, 1.0))  # noqa: S311 - spreads the callers
            backoff_s = min(BACKOFF_MAX_S, backoff_s * 2)
        if reason:
            self._gap(time.monotonic() - self._heard, reason)

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
        found: dict[str, str] = {}
        now, again, version = time.time(), self.listed.is_set(), ""
        changes: list[tuple[str, str, Any]] = []
        for page in self._cluster.chunks(self.path, self._shape, labels=self._labels, fields=self._fields):
            version = str(page["metadata"]["resourceVersion"])
            for item in page.get("items") or ():
                uid, found[item["metadata"]["uid"]] = item["metadata"]["uid"], _version(item)
                if self._versions.get(uid) != found[uid]:
                    changes.append((uid, found[uid], self._keep(item)))
        changes += [(uid, "", None) for uid in self._versions.keys() - found.keys()]
        for uid, its_version, kept in changes:
            self._take(uid, its_version, kept, now, relisted=again, first=not again)
        self.listed.set()
        return version

    def _take(
        self, uid: str, version: str, kept: Any, at: float, *, relisted: bool = False, first: bool = False
    ) -> None:
        """One object is now like this (None: gone)."""
        before = self.objects.get(uid)
        if kept is None:
            self.objects.pop(uid, None)
            self._versions.pop(uid, None)
        else:
            self.objects[uid], self._versions[uid] = kept, version
        if before is not None or kept is not None:
            self._changed(Change(before, kept, at, relisted, first))

    def _watch(self, version: str) -> str:
        """One watch to its end; where to go on from."""
        self._stream = self._cluster.watch(
            self.path, version, labels=self._labels, fields=self._fields, seconds=WATCH_S, silence_s=SILENCE_S
        )
        if self._closed.is_set():
            self._stream.close()
        for kind, item in _read(self._stream):
            self._heard = time.monotonic()
            version = _version(item)
            uid = item["metadata"].get("uid", "")
            # What is told twice, as after a watch from an older version, has not changed.
            if kind != "BOOKMARK" and (kind == "DELETED" or self._versions.get(uid) != version):
                self._take(uid, version, None if kind == "DELETED" else self._keep(item), time.time())
        return version


def _read(stream: Any) -> Iterator[tuple[str, Raw]]:
    for event in stream:
        yield event["type"], event["object"]


def _version(item: Raw) -> str:
    return str(item["metadata"]["resourceVersion"])
