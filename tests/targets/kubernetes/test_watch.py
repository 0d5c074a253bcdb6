"""Following a list: what is told of changes, breaks, forgotten versions, and what ends it."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from typing import Any, cast

import pytest

from tierdrill.targets.kubernetes import watch as watching
from tierdrill.targets.kubernetes.api_errors import ApiError
from tierdrill.targets.kubernetes.connect import Cluster
from tierdrill.targets.kubernetes.watch import Change, ObjectWatch


def item(name: str, version: int) -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": f"uid-{name}", "resourceVersion": str(version)}}


class Stream:
    """One watch: events, then its end, or an error."""

    def __init__(self, events: Iterable[dict[str, Any] | Exception]) -> None:
        self._events = events

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for event in self._events:
            if isinstance(event, Exception):
                raise event
            yield event

    def close(self) -> None:
        pass


class FakeCluster:
    """Lists and watches one after the other, as they were written down; with the last one used up, `done` is called."""

    def __init__(self, lists: list[list[dict[str, Any]] | Exception], watches: list[Any]) -> None:
        self.lists, self.watches, self.asked_from = lists, watches, list[str]()
        self.done = lambda: None

    def chunks(self, path: str, shape: object, *, labels: str, fields: str) -> Iterator[dict[str, Any]]:
        found = self.lists.pop(0)
        if isinstance(found, Exception):
            raise found
        for one in found:
            yield {"items": [one], "metadata": {"resourceVersion": "10"}}
        yield {"items": [], "metadata": {"resourceVersion": "10"}}

    def watch(self, path: str, version: str, **options: Any) -> Stream:
        self.asked_from.append(version)
        events = self.watches.pop(0)
        if not self.watches:
            self.done()
        return Stream(events)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "BACKOFF_MIN_S", 0.0)
    monkeypatch.setattr(watching, "BACKOFF_MAX_S", 0.0)


def follow(cluster: FakeCluster) -> tuple[list[tuple[str | None, str | None, bool]], list[str], ObjectWatch]:
    """Versions before and after each change with whether it was relisted, and the reasons of gaps."""
    told: list[tuple[str | None, str | None, bool]] = []
    gaps: list[str] = []

    def changed(change: Change) -> None:
        sides = (change.before, change.after)
        versions = [None if one is None else one["metadata"]["resourceVersion"] for one in sides]
        told.append((versions[0], versions[1], change.relisted))

    watch = ObjectWatch(cast(Cluster, cluster), "/api/v1/nodes", changed, lambda seconds, why: gaps.append(why))
    cluster.done = watch.close
    thread = threading.Thread(target=watch.run)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    return told, gaps, watch


def test_changes_come_with_what_was_before_and_a_watch_that_ended_goes_on() -> None:
    first = [{"type": "MODIFIED", "object": item("a", 11)}, {"type": "BOOKMARK", "object": item("", 12)}]
    second = [{"type": "ADDED", "object": item("b", 13)}, {"type": "DELETED", "object": item("a", 14)}]
    cluster = FakeCluster([[item("a", 5)]], [first, second])
    told, gaps, watch = follow(cluster)
    assert told == [(None, "5", False), ("5", "11", False), (None, "13", False), ("11", None, False)]
    assert cluster.asked_from == ["10", "12"] and not gaps
    assert list(watch.objects) == ["uid-b"]


@pytest.mark.parametrize("broken", [ApiError("too old", 410), ApiError("broke off")], ids=["forgotten", "broken"])
def test_after_a_break_what_differs_is_told_as_relisted_and_the_gap_with_its_reason(broken: ApiError) -> None:
    lists: list[list[dict[str, Any]] | Exception] = [[item("a", 5), item("b", 5)], broken, [item("b", 8), item("c", 9)]]
    cluster = FakeCluster(lists, [[broken], []])
    told, gaps, _ = follow(cluster)
    assert sorted(told[2:], key=str) == [("5", "8", True), ("5", None, True), (None, "9", True)]
    assert gaps == [str(broken)]


def test_a_deletion_of_what_was_never_there_is_no_change() -> None:
    told, _, _ = follow(FakeCluster([[]], [[{"type": "DELETED", "object": item("a", 11)}]]))
    assert not told


def test_what_is_refused_for_good_is_not_asked_again() -> None:
    cluster = FakeCluster([ApiError("forbidden", 403)], [])
    with pytest.raises(ApiError, match="forbidden"):
        ObjectWatch(cast(Cluster, cluster), "/api/v1/nodes", lambda change: None).run()
