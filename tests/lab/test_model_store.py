"""A model store, and the cache of a node that gets its weights from there."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tierdrill.lab.node import weight_cache
from tierdrill.lab.node.weight_cache import QUOTA_BYTES, PullFailed, WeightCache, fill
from tierdrill.lab.replica.language_model import CANDIDATE, REVIEWED, checksums
from tierdrill.lab.store.store_program import make_server

MODEL = {"name": "assistant", "model_seed": 11, "model_size": 512}
SUMS = checksums(11, 512)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[str]:
    server = make_server({"folder": str(tmp_path / "store"), "models": [MODEL], "token": "t"})
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield "{}:{}".format(*server.server_address)
    server.shutdown()
    thread.join()
    server.server_close()


def ask(address: str, path: str, said: object = None, token: str = "t") -> tuple[int, bytes]:
    data = None if said is None else json.dumps(said).encode()
    method = "GET" if data is None else "PUT"
    request = urllib.request.Request(f"http://{address}{path}", data, method=method)
    request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def corrupt(address: str, yes: bool) -> None:
    assert ask(address, "/corruption", {"model": "assistant", "corrupt": yes})[0] == 200


def test_what_it_gives_is_what_its_manifest_says_unless_it_is_damaged(store: str) -> None:
    manifest = json.loads(ask(store, "/manifest.json")[1])
    assert {name: told["sha256"] for name, told in manifest["assistant"].items()} == SUMS
    assert SUMS[REVIEWED] != SUMS[CANDIDATE]
    for damaged in (False, True, True, False):
        corrupt(store, damaged)
        for checksum in SUMS.values():
            status, data = ask(store, f"/blobs/{checksum}")
            assert status == 200 and len(data) == 512 * 4
            assert (hashlib.sha256(data).hexdigest() != checksum) == damaged


@pytest.mark.parametrize(
    ("path", "said", "token", "status"),
    [
        ("/blobs/../config.json", None, "t", 404),
        ("/blobs/", None, "t", 404),
        ("/corruption", {"model": "assistant", "corrupt": True}, "wrong", 401),
        ("/corruption", {"model": "draft", "corrupt": True}, "t", 400),
        ("/corruption", {"model": "assistant"}, "t", 400),
        ("/corruption", ["assistant"], "t", 400),
    ],
)
def test_what_it_refuses(store: str, path: str, said: Any, token: str, status: int) -> None:
    assert ask(store, path, said, token)[0] == status


def need(cache: WeightCache, checksum: str) -> Path:
    return asyncio.run(cache.need(checksum))


def test_a_node_asks_once_and_again_only_where_its_file_is_damaged(store: str, tmp_path: Path) -> None:
    cache = WeightCache(tmp_path / "cache", {"store-a": store})
    path = need(cache, SUMS[REVIEWED])
    corrupt(store, True)
    assert need(cache, SUMS[REVIEWED]) == path and cache.has(SUMS[REVIEWED])
    path.write_bytes(b"damaged")
    with pytest.raises(PullFailed, match="store-a: got SHA-256") as refused:
        need(cache, SUMS[REVIEWED])
    assert refused.value.reason == "corrupt" and not cache.has(SUMS[REVIEWED])


def test_a_pull_that_failed_waits_and_a_mirror_may_be_asked_at_once(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(weight_cache.time, "monotonic", lambda: now)
    cache = WeightCache(tmp_path / "cache", {"store-a": "127.0.0.1:1", "store-b": store})
    asked: list[str] = []
    pull = cache.pull

    async def counted(checksum: str, name: str) -> None:
        asked.append(name)
        await pull(checksum, name)

    monkeypatch.setattr(cache, "pull", counted)
    for at, pulls in [(0.0, 1), (0.2, 1), (0.3, 2), (0.7, 2), (0.9, 3), (1.8, 3), (2.0, 4), (3.9, 4), (4.1, 5)]:
        now = 1000.0 + at
        with pytest.raises(PullFailed) as failed:
            need(cache, SUMS[REVIEWED])
        assert (failed.value.store, failed.value.reason) == ("store-a", "unreachable")
        assert len(asked) == pulls, at
    assert cache.mirrors == ("store-b",)
    asyncio.run(cache.pull(SUMS[REVIEWED], "store-b"))
    assert need(cache, SUMS[REVIEWED]).is_file()
    with pytest.raises(PullFailed, match="expected one of: store-a, store-b"):
        asyncio.run(cache.pull(SUMS[REVIEWED], "store-c"))
    with pytest.raises(PullFailed, match="status 404"):
        asyncio.run(cache.pull("0" * 64, "store-b"))


def test_a_full_disk_takes_no_weights_until_what_nobody_needs_is_deleted(store: str, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    cache = WeightCache(folder, {"store-a": store})
    path = need(cache, SUMS[REVIEWED])
    all_free = cache.free_bytes()
    for percent in (0, 9):
        fill(folder, percent)
        assert cache.free_bytes() == QUOTA_BYTES * percent // 100
    fill(folder, 0)
    with pytest.raises(PullFailed, match="2048 bytes, and 0 are free") as refused:
        need(cache, SUMS[CANDIDATE])
    assert (refused.value.store, refused.value.reason) == ("store-a", "disk-full")
    assert need(cache, SUMS[REVIEWED]) == path, "what is there needs no room"
    assert cache.prune({SUMS[REVIEWED]}) == all_free and cache.free_bytes() == all_free
    asyncio.run(cache.pull(SUMS[CANDIDATE], "store-a"))
    assert cache.has(SUMS[CANDIDATE]) and cache.has(SUMS[REVIEWED])
    fill(folder, 0)
    fill(folder, None)
    fill(folder, None)
    assert cache.free_bytes() == all_free - 2048
