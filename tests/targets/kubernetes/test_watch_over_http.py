"""Following a list over a real connection, through all that servers and networks do to it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.targets.kubernetes.fake_api import (
    FakeApi,
    Script,
    drops,
    fake_api,
    item,
    line,
    says,
    says_and_stays,
    too_old,
)
from tierdrill.targets.kubernetes import watch as watching
from tierdrill.targets.kubernetes.api_errors import ApiError
from tierdrill.targets.kubernetes.connect import Cluster
from tierdrill.targets.kubernetes.watch import Change, ObjectWatch

PATIENCE_S = 20.0


class Follower:
    """A watch at work; what it told as (name, version after it, relisted)."""

    def __init__(self, kubeconfig: str) -> None:
        self.told: list[tuple[str, str, bool]] = []
        self.gaps: list[tuple[float, str]] = []
        self._news = threading.Condition()
        self.error: ApiError | None = None
        keep = lambda raw: (raw["metadata"]["name"], raw["metadata"]["resourceVersion"])  # noqa: E731
        self.watch = ObjectWatch(Cluster(kubeconfig), "/api/v1/nodes", self._changed, self._gap, keep=keep)
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            self.watch.run()
        except ApiError as error:
            self.error = error

    def _changed(self, change: Change) -> None:
        with self._news:
            name = (change.before or change.after)[0]
            self.told.append((name, change.after[1] if change.after else "gone", change.relisted))
            self._news.notify_all()

    def _gap(self, seconds: float, reason: str) -> None:
        with self._news:
            self.gaps.append((seconds, reason))
            self._news.notify_all()

    def until(self, *wanted: tuple[str, str, bool]) -> None:
        with self._news:
            assert self._news.wait_for(lambda: set(wanted) <= set(self.told), PATIENCE_S), (wanted, self.told)

    def until_gap(self) -> None:
        with self._news:
            assert self._news.wait_for(lambda: bool(self.gaps), PATIENCE_S)


@pytest.fixture
def api(tmp_path: Path) -> Iterator[tuple[FakeApi, Follower]]:
    with fake_api(tmp_path) as (server, kubeconfig):
        server.items = [item("a", 5)]
        follower = Follower(kubeconfig)
        yield server, follower
        follower.watch.close()
        server.over.set()
        if follower.thread.ident is not None:
            follower.thread.join(PATIENCE_S)
            assert not follower.thread.is_alive()


def play(api: tuple[FakeApi, Follower], *scripts: Script) -> tuple[FakeApi, Follower]:
    server, follower = api
    server.watches = list(scripts)
    follower.thread.start()
    return server, follower


def test_a_list_comes_in_pages_and_a_watch_goes_on_from_it(api: tuple[FakeApi, Follower]) -> None:
    api[0].page, api[0].items = 2, [item(name, 5) for name in "abcde"]
    server, follower = play(api, says_and_stays(line("ADDED", item("f", 12)), line("DELETED", item("a", 13))))
    follower.until(("f", "12", False), ("a", "gone", False))
    assert server.lists == 3
    assert server.watched == ["10"]
    assert len(follower.watch.objects) == 5


@pytest.mark.parametrize("broken", [too_old, drops, says(b"<html>\n"), says(b'{"type": "ADDED"}\n')])
def test_a_watch_that_breaks_is_listed_anew_and_what_differs_is_told_once(
    api: tuple[FakeApi, Follower], broken: Script
) -> None:
    server, follower = api

    def changes_meanwhile(write: object, over: threading.Event) -> None:
        server.items, server.version = [item("a", 7), item("b", 8)], 20
        broken(write, over)  # type: ignore[arg-type]

    play(api, changes_meanwhile, says_and_stays(line("MODIFIED", item("b", 21))))
    follower.until(("a", "7", True), ("b", "8", True), ("b", "21", False))
    assert [one for one in follower.told if one[0] == "a"] == [("a", "5", False), ("a", "7", True)]
    assert server.watched == ["10", "20"]
    assert follower.gaps


def test_a_watch_that_ends_without_a_word_goes_on_from_where_it_was(api: tuple[FakeApi, Follower]) -> None:
    bookmark = line("BOOKMARK", item("", 15))
    server, follower = play(api, says(bookmark), says(), says_and_stays(line("MODIFIED", item("a", 16))))
    follower.until(("a", "16", False))
    assert server.watched == ["10", "15", "15"]
    assert server.lists == 1
    assert not follower.gaps


def test_what_is_told_twice_has_changed_once(api: tuple[FakeApi, Follower]) -> None:
    once = line("MODIFIED", item("a", 11))
    _, follower = play(api, says_and_stays(once, once, line("MODIFIED", item("a", 12))))
    follower.until(("a", "12", False))
    assert follower.told == [("a", "5", False), ("a", "11", False), ("a", "12", False)]


def test_silence_is_a_lost_connection_and_the_gap_begins_with_the_last_word(
    api: tuple[FakeApi, Follower], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "SILENCE_S", 0.3)
    server, follower = play(api, says_and_stays(line("MODIFIED", item("a", 11))), says_and_stays())
    follower.until_gap()
    assert follower.gaps[0][0] >= 0.3
    assert "silent" in follower.gaps[0][1]
    assert server.lists >= 2


def test_an_event_that_comes_in_small_pieces_is_read_whole(api: tuple[FakeApi, Follower]) -> None:
    whole = line("MODIFIED", item("a", 11))
    _, follower = play(api, says_and_stays(*(whole[n : n + 7] for n in range(0, len(whole), 7))))
    follower.until(("a", "11", False))


def test_a_server_that_ends_every_watch_at_once_is_not_stormed(
    api: tuple[FakeApi, Follower], monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    _, follower = api
    wait = follower.watch._closed.wait

    def paused(seconds: float) -> bool:
        pauses.append(seconds)
        if len(pauses) == 8:
            follower.watch.close()
        return wait(0)

    monkeypatch.setattr(follower.watch._closed, "wait", paused)
    server, _ = play(api, says())
    follower.thread.join(PATIENCE_S)
    assert len(server.watched) == len(pauses) == 8
    assert pauses[-1] >= watching.BACKOFF_MAX_S / 2
    assert pauses[0] <= watching.BACKOFF_MIN_S


def test_an_api_server_that_is_away_is_a_gap_until_it_is_back(
    api: tuple[FakeApi, Follower], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "GAP_S", 0.1)
    server, follower = api

    def goes(write: object, over: threading.Event) -> None:
        server.refuse = 503
        drops(write, over)  # type: ignore[arg-type]

    play(api, goes, says_and_stays())
    follower.until_gap()
    server.items, server.refuse = [item("a", 9)], 0
    follower.until(("a", "9", True))
    assert max(seconds for seconds, _ in follower.gaps) == follower.gaps[-1][0]


def test_what_is_forbidden_ends_it_with_the_reason(api: tuple[FakeApi, Follower]) -> None:
    api[0].refuse = 403
    _, follower = play(api)
    follower.thread.join(PATIENCE_S)
    assert follower.error is not None
    assert follower.error.status == 403
