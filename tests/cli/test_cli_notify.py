"""`tierdrill notify` as it is typed: a test message that really arrives, the log, and what was given up."""

from __future__ import annotations

import asyncio
import json
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.support import Done, copied_catalogue, tierdrill
from tests.cli.test_cli_surface import complete
from tests.schedule.servers import HttpServer, SmtpServer
from tierdrill.documents.models.channels import Secret, WebhookChannel
from tierdrill.monitoring.pagerduty import PagerStub
from tierdrill.schedule.notify.notification import Answer, Notice
from tierdrill.schedule.notify.outbox_store import MessageStore

SECRET = "hunter2-is-a-secret"
CALENDAR = """apiVersion: tierdrill/v1
kind: Calendar
metadata: {name: team}
channels:
  - {name: team-hook, type: webhook, url: "HTTP/in", secret: {env: HOOK_SECRET}}
  - {name: team-chat, type: slack, url: {env: CHAT_URL}}
  - name: team-mail
    type: email
    host: localhost
    port: MAIL
    security: none
    sender: drills@example.org
    to: [oncall@example.org]
  - {name: team-pager, type: pagerduty, url: "PAGER", routing_key: {env: PAGER_KEY}}
entries:
  - {name: nightly, drill: node-loss, cron: "0 2 * * *", notify: [team-hook]}
"""


def catalogue(folder: Path, http: str = "http://127.0.0.1:1", mail: int = 1, pager: str = "http://127.0.0.1:1") -> Path:
    root = copied_catalogue(folder)
    text = CALENDAR.replace("HTTP", http).replace("MAIL", str(mail)).replace("PAGER\"", f"{pager}\"")
    (root / "drills" / "team.yaml").write_text(text)
    return root


async def notify(home: Path, root: Path, *words: str, **environ: str) -> Done:
    return await asyncio.to_thread(tierdrill, home, "--catalogue", root, "notify", *words, **environ)


def test_a_test_message_arrives_in_every_kind_of_channel(tmp_path: Path) -> None:
    async def scenario() -> None:
        pager = PagerStub()
        await pager.start()
        try:
            async with HttpServer() as http, SmtpServer() as mail:
                root = catalogue(tmp_path / "docs", http.url, mail.port, pager.url)
                home = tmp_path / "home"
                done = await notify(home, root, "test", "team-hook", HOOK_SECRET=SECRET)
                assert (done.code, done.out) == (0, "team-hook (webhook, calendar team): delivered: 200 OK: ok\n")
                assert json.loads(http.received[0].body)["title"].startswith("TEST: ")
                done = await notify(home, root, "test", "team-chat", CHAT_URL=f"{http.url}/{SECRET}")
                assert done.code == 0
                assert http.received[1].path == f"/{SECRET}"
                done = await notify(home, root, "test", "team-mail")
                assert done.code == 0
                assert "TEST: " in mail.mails[0].letter["Subject"]
                done = await notify(home, root, "test", "team-pager", "--json", PAGER_KEY=pager.routing_key)
                assert [step["action"] for step in json.loads(done.out)["steps"]] == ["tell", "resolve"]
                assert [(page.state, page.severity) for page in pager.pages] == [("resolved", "info")]
        finally:
            await pager.stop()

    asyncio.run(scenario())


def test_what_was_not_taken_is_said_without_the_secret(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with HttpServer((403, {}, f"bad token {SECRET}")) as http:
            root = catalogue(tmp_path / "docs", http.url)
            done = await notify(tmp_path / "home", root, "test", "team-hook", HOOK_SECRET=SECRET)
            assert done.code == 1
            assert "NOT DELIVERED: 403 Forbidden: bad token [secret]" in done.out
            done = await notify(tmp_path / "home", root, "test", "team-hook")
            assert done.code == 1
            assert "environment variable HOOK_SECRET is not set or empty" in done.out

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("test", "team-hock"), "did you mean team-hook?"),
        (("test", "team-hook", "--calendar", "other"), "no calendar named 'other'"),
        (("test",), "Missing argument 'CHANNEL'"),
        (("resend", "abc"), "no failed message begins with 'abc'"),
        (("log", "--state", "lost"), "'waiting', 'sent', 'failed'"),
    ],
)
def test_bad_input_is_one_clear_line(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    root = catalogue(tmp_path / "docs")
    done = tierdrill(tmp_path / "home", "--catalogue", root, "notify", *words)
    assert done.code == 2
    assert said in done.err
    assert len(done.err.splitlines()) == 1


def test_the_log_shows_what_was_given_up_and_lets_it_wait_again(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert tierdrill(home, "notify", "log").out == "no messages\n"
    channel = WebhookChannel(name="hook", type="webhook", url="http://127.0.0.1:1/", secret=Secret(env="S"))
    with closing(MessageStore(home)) as store:
        store.post([channel], Notice(kind="failed", calendar="team", entry="nightly", drill="node-loss"), 1e9)
        (waiting,) = store.claim(1e9, "me 1.0")
        store.settle(waiting.message.id, Answer(False, "404 Not Found"), 1e9 + 1, None)
        store.post([channel], Notice(kind="held", calendar="team", entry="nightly"), 1e9 + 2)
    told = tierdrill(home, "notify", "log").out
    assert "failed team/nightly/node-loss  failed   404 Not Found" in told
    assert "0 sent, 1 waiting, 1 failed" in told
    shown = json.loads(tierdrill(home, "notify", "log", "--json", "--state", "failed").out)
    assert [line["answer"] for line in shown["messages"]] == ["404 Not Found"]
    assert tierdrill(home, "notify", "resend").out == "1 message queued again\n"
    assert json.loads(tierdrill(home, "notify", "log", "--json").out)["counts"] == {
        "waiting": 2, "sent": 0, "failed": 0,
    }  # fmt: skip


def test_completion_knows_channels(tmp_path: Path) -> None:
    root = catalogue(tmp_path / "docs")
    found = complete(tmp_path, f"tierdrill --catalogue {root} notify test team-")
    assert found == ["team-hook", "team-chat", "team-mail", "team-pager"]
