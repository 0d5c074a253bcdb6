"""The outbox: nothing lost, nothing told twice in its window, and nothing that a sender or a run has to wait for."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.cli.support import ROOT
from tests.schedule.servers import HttpServer, SmtpServer
from tierdrill.documents.models.channels import EmailChannel, Secret, SlackChannel, WebhookChannel
from tierdrill.history.database_file import kept_copies
from tierdrill.schedule.notify.notification import Notice, own_holder, still_holds
from tierdrill.schedule.notify.outbox import Outbox
from tierdrill.schedule.notify.outbox_store import MessageStore

SECRET = "hunter2-is-a-secret"
FAILED = Notice(kind="failed", calendar="nightly", entry="lab", drill="node-loss", run="r1", summary="97%", at=1.0)
T = TypeVar("T")


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(work, 30))


def hook(url: str, **more: Any) -> WebhookChannel:
    return WebhookChannel(
        **{"name": "hook", "type": "webhook", "url": url, "secret": Secret(env="OUTBOX_SECRET"), **more}
    )


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTBOX_SECRET", SECRET)


def wait_until(so: Callable[[], bool]) -> None:
    """Wait for what other processes do to the outbox: nothing tells of it."""
    while not so():
        time.sleep(0.02)


def states(home: Path) -> list[tuple[str, int]]:
    with closing(MessageStore(home)) as store:
        return [(line.state, line.attempts) for line in store.log()]


def test_what_is_posted_is_delivered_at_once(tmp_path: Path) -> None:
    home = tmp_path / "home"

    async def scenario() -> None:
        async with HttpServer() as server:
            outbox = Outbox(home)
            stop = asyncio.Event()
            courier = asyncio.create_task(outbox.deliver_forever(stop))
            await asyncio.sleep(0)
            began = time.monotonic()
            assert outbox.post([hook(server.url)], FAILED)
            await server.came.wait()
            assert time.monotonic() - began < 4.0
            stop.set()
            await courier
            outbox.close()
            assert len(server.received) == 1

    run(scenario())
    assert states(home) == [("sent", 1)]
    assert home.stat().st_mode & 0o077 == 0


def test_what_is_posted_last_is_delivered_before_the_courier_goes(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with HttpServer() as server:
            outbox = Outbox(tmp_path)
            stop = asyncio.Event()
            courier = asyncio.create_task(outbox.deliver_forever(stop))
            await asyncio.sleep(0)
            for kind in ("failed", "unclean", "held"):
                outbox.post([hook(server.url)], replace(FAILED, kind=kind))
            stop.set()
            await courier
            outbox.close()

    run(scenario())
    assert states(tmp_path) == [("sent", 1)] * 3


def test_a_refused_message_is_tried_again_with_the_same_id_when_it_was_asked_to(tmp_path: Path) -> None:
    async def scenario() -> None:
        clock = Clock()
        async with HttpServer((503, {"Retry-After": "100"}, "busy"), (500, {}, "broken")) as server:
            outbox = Outbox(tmp_path, clock, chance=lambda: 1.0)
            outbox.post([hook(server.url)], FAILED)
            assert await outbox.deliver_due() == 1
            clock.now += 99
            assert await outbox.deliver_due() == 0
            clock.now += 1
            assert await outbox.deliver_due() == 1
            clock.now += 4
            assert await outbox.deliver_due() == 1
            outbox.close()
            assert len({one.headers["idempotency-key"] for one in server.received}) == 1
            stamps = [one.headers["x-tierdrill-timestamp"] for one in server.received]
            assert len(stamps) == 3

    run(scenario())
    assert states(tmp_path) == [("sent", 3)]


def test_giving_up_is_loud_and_the_next_trouble_is_told_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        clock = Clock()
        async with HttpServer((500, {}, "broken"), (500, {}, "broken"), (410, {}, "gone")) as server:
            outbox = Outbox(tmp_path, clock)
            channel = hook(server.url, give_up_after=60.0)
            outbox.post([channel], FAILED)
            await outbox.deliver_due()
            clock.now += 60
            await outbox.deliver_due()
            assert states(tmp_path) == [("failed", 2)]
            outbox.post([channel], FAILED)
            await outbox.deliver_due()
            assert states(tmp_path) == [("failed", 1), ("failed", 2)]
            with closing(MessageStore(tmp_path)) as store:
                assert store.again(None, clock.now) == 2
            assert await outbox.deliver_due() == 2
            outbox.close()

    run(scenario())
    assert states(tmp_path) == [("sent", 1), ("sent", 1)]
    loud = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(loud) == 2
    assert "FAILED after 2 attempts: 500" in loud[0]
    assert "410 Gone: gone" in loud[1]


def test_what_was_given_up_and_sent_again_is_over_when_the_drill_is_well(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with HttpServer((410, {}, "gone")) as server:
            outbox, channel = Outbox(tmp_path), hook(server.url)
            outbox.post([channel], FAILED)
            await outbox.deliver_due()
            with closing(MessageStore(tmp_path)) as store:
                assert store.again(None, time.time()) == 1
            await outbox.deliver_due()
            outbox.post([channel], replace(FAILED, kind="passed"))
            await outbox.deliver_due()
            outbox.close()

    run(scenario())
    with closing(MessageStore(tmp_path)) as store:
        assert [(line.kind, line.state) for line in store.log()] == [("recovered", "sent"), ("failed", "sent")]


def test_nothing_is_resolved_before_it_is_told(tmp_path: Path) -> None:
    async def scenario() -> None:
        clock = Clock()
        async with HttpServer((500, {}, "")) as server:
            outbox = Outbox(tmp_path, clock)
            outbox.post([hook(server.url)], FAILED)
            await outbox.deliver_due()
            outbox.post([hook(server.url)], replace(FAILED, kind="passed", run="r2"))
            assert await outbox.deliver_due() == 0
            clock.now += 10
            await outbox.deliver_due()
            outbox.close()
            kinds = [json.loads(one.body)["notice"]["kind"] for one in server.received]
            assert kinds == ["failed", "failed", "recovered"]

    run(scenario())


def test_a_hanging_server_holds_up_no_other_channel_and_no_post(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with HttpServer() as stuck, HttpServer() as well, SmtpServer() as mail:
            stuck.hold.clear()
            outbox = Outbox(tmp_path)
            channels = [
                hook(stuck.url, name="stuck"),
                hook(well.url, name="well"),
                EmailChannel(
                    name="mail", type="email", host="localhost", port=mail.port, security="none",
                    sender="a@example.org", to=("b@example.org",),
                ),
            ]  # fmt: skip
            outbox.post(channels, FAILED)

            stop = asyncio.Event()
            courier = asyncio.create_task(outbox.deliver_forever(stop))
            await asyncio.gather(stuck.came.wait(), well.came.wait(), mail.came.wait())
            outbox.post(channels, replace(FAILED, kind="unclean"))
            stuck.hold.set()
            stop.set()
            await courier
            outbox.close()

    run(scenario())


def test_a_changed_calendar_leads_what_waits_to_the_new_address(tmp_path: Path) -> None:
    async def scenario() -> None:
        clock = Clock()
        async with HttpServer() as server:
            outbox = Outbox(tmp_path, clock)
            outbox.post([hook("http://127.0.0.1:1/")], FAILED)
            await outbox.deliver_due()
            outbox.know("nightly", [hook(server.url)])
            clock.now += 10
            await outbox.deliver_due()
            outbox.close()
            assert len(server.received) == 1

    run(scenario())


def test_a_clock_set_back_makes_nothing_wait_for_ever(tmp_path: Path) -> None:
    async def scenario() -> None:
        clock = Clock()
        async with HttpServer((500, {}, "")) as server:
            outbox = Outbox(tmp_path, clock)
            outbox.post([hook(server.url)], FAILED)
            await outbox.deliver_due()
            clock.now -= 7 * 86400
            assert await outbox.deliver_due() == 1
            assert not outbox.post([], FAILED) or len(server.received) == 2
            outbox.close()

    run(scenario())


COURIER = """
import asyncio, sys
from pathlib import Path
from tierdrill.schedule.notify.outbox import Outbox
asyncio.run(Outbox(Path(sys.argv[1])).deliver_forever(asyncio.Event()))
"""


def courier(home: Path) -> subprocess.Popen[bytes]:
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "runner")}
    return subprocess.Popen([sys.executable, "-c", COURIER, str(home)], env=environ)


def test_a_courier_killed_in_mid_delivery_loses_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with HttpServer() as server:
            server.hold.clear()
            outbox = Outbox(tmp_path)
            outbox.post([hook(server.url)], FAILED)
            first = courier(tmp_path)
            await server.came.wait()
            # While the first holds the message, nobody else sends it.
            assert await outbox.deliver_due() == 0
            first.send_signal(signal.SIGKILL)
            await asyncio.to_thread(first.wait)
            server.came.clear()
            server.hold.set()
            second = courier(tmp_path)
            try:
                await server.came.wait()
                await asyncio.to_thread(wait_until, lambda: states(tmp_path)[0][0] == "sent")
            finally:
                second.kill()
                await asyncio.to_thread(second.wait)
            outbox.close()
            assert len(server.received) == 2
            assert len({one.headers["idempotency-key"] for one in server.received}) == 1

    run(scenario())


def test_two_couriers_on_one_home_send_each_message_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with HttpServer() as server:
            outbox = Outbox(tmp_path)
            for number in range(20):
                outbox.post([hook(server.url)], replace(FAILED, drill=f"drill-{number}"))
            both = [courier(tmp_path), courier(tmp_path)]
            try:
                await asyncio.to_thread(wait_until, lambda: all(state == "sent" for state, _ in states(tmp_path)))
            finally:
                for each in both:
                    each.kill()
                    await asyncio.to_thread(each.wait)
            outbox.close()
            assert len(server.received) == 20

    run(scenario())


def test_a_locked_outbox_neither_blocks_nor_raises_nor_loses(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with HttpServer() as server:
            outbox = Outbox(tmp_path)
            outbox.know("nightly", [])
            with closing(sqlite3.connect(tmp_path / MessageStore.FILE, isolation_level=None)) as other:
                other.execute("BEGIN EXCLUSIVE")
                began = time.monotonic()
                assert outbox.post([hook(server.url)], FAILED) is False
                assert time.monotonic() - began < 4.0
            assert await outbox.deliver_due() == 1
            outbox.close()
            assert len(server.received) == 1

    run(scenario())
    assert "not on the disk yet" in caplog.text


def test_a_full_disk_does_not_raise_and_what_was_posted_before_stays(tmp_path: Path) -> None:
    with closing(MessageStore(tmp_path)) as store:
        store.post([hook("http://127.0.0.1:1/")], FAILED, 1.0)
    child = """
import resource, signal, sys
from pathlib import Path
from tests.schedule.test_notify_outbox import FAILED, hook
from tierdrill.schedule.notify.outbox import Outbox
from dataclasses import replace
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
outbox = Outbox(Path(sys.argv[1]))
outbox.know("nightly", [])
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
big = [replace(FAILED, drill=f"d{n}", summary="x" * 5000) for n in range(3)]
sys.exit(0 if [outbox.post([hook("http://127.0.0.1:1/")], each) for each in big] == [False] * 3 else 1)
"""
    environ = {**os.environ, "PYTHONPATH": f"{ROOT / 'runner'}:{ROOT}"}
    done = subprocess.run(
        [sys.executable, "-c", child, str(tmp_path)], env=environ, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert states(tmp_path) == [("waiting", 0)]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


@pytest.mark.parametrize("where", [0, 4096])
def test_a_corrupt_outbox_is_kept_and_a_new_one_begun_loudly(
    tmp_path: Path, where: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(MessageStore(tmp_path)) as store:
        store.post([hook("http://127.0.0.1:1/")], FAILED, 1.0)
    size = (tmp_path / MessageStore.FILE).stat().st_size
    with (tmp_path / MessageStore.FILE).open("r+b") as file:
        file.seek(where)
        file.write(b"\xa5" * (size - where))
    outbox = Outbox(tmp_path)
    outbox.post([hook("http://127.0.0.1:1/")], FAILED)
    assert outbox.post([hook("http://127.0.0.1:1/")], replace(FAILED, drill="other"))
    outbox.close()
    (kept,) = kept_copies(tmp_path)
    assert kept.stat().st_size == size
    assert f"is corrupt; it is kept as {kept}" in capsys.readouterr().err
    assert states(tmp_path) == [("waiting", 0), ("waiting", 0)]


def test_no_secret_is_stored_logged_or_shown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def scenario() -> None:
        async with HttpServer((500, {}, f"what is {SECRET}?"), (200, {}, f"thanks for {SECRET}")) as server:
            (tmp_path / "url").write_text(f"{server.url}/services/{SECRET}")
            clock = Clock()
            outbox = Outbox(tmp_path / "home", clock)
            outbox.post(
                [
                    hook(server.url),
                    SlackChannel(name="chat", type="slack", url=Secret(file=str(tmp_path / "url"))),
                    SlackChannel(name="broken", type="slack", url=Secret(env="OUTBOX_SECRET")),
                ],
                FAILED,
            )
            await outbox.deliver_due()
            clock.now += 100
            await outbox.deliver_due()
            outbox.close()
            assert len(server.received) == 3

    run(scenario())
    with closing(MessageStore(tmp_path / "home")) as store:
        shown = json.dumps([line.answer for line in store.log()])
        files = [path for path in (tmp_path / "home").rglob("*") if path.is_file()]
        assert any(path.name.startswith(MessageStore.FILE) for path in files)
        for path in files:
            assert SECRET.encode() not in path.read_bytes(), path
    assert "[secret]" in shown
    assert SECRET not in shown + caplog.text


def test_what_is_long_over_is_forgotten(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with HttpServer() as server:
            clock = Clock()
            outbox = Outbox(tmp_path, clock)
            outbox.post([hook(server.url)], FAILED)
            await outbox.deliver_due()
            with closing(MessageStore(tmp_path)) as store:
                assert store.forget(clock.now + 89 * 86400) == 0
                assert store.forget(clock.now + 91 * 86400) == 1
            outbox.close()

    run(scenario())




def test_who_still_holds_a_message() -> None:
    here = own_holder()
    assert still_holds(here, 1e9)
    pid, ticks, boot, space = here.split(" ")
    assert not still_holds(f"{pid} {int(ticks) + 1} {boot} {space}", 0.0)
    assert not still_holds(f"{pid} {ticks} another-boot {space}", 0.0)
    # In another container nobody can see whether it lives.
    assert still_holds(f"{pid} {ticks} {boot} pid:[1]", 599.0)
    assert not still_holds(f"{pid} {ticks} {boot} pid:[1]", 600.0)
    assert not still_holds("nonsense", 0.0)
