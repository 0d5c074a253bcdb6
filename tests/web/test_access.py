"""Who gets in, who may do what, and what a request must look like to be answered at all."""

from __future__ import annotations

import asyncio
import re
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import click
import httpx
import pytest

from tests.cli.support import ROOT, tierdrill
from tests.web.standin import Browser, catalogue_with, csrf_of, options
from tierdrill.cli.commands.web import token
from tierdrill.history.audit_log import entries
from tierdrill.history.kill_switch import halted, throw_kill_switch
from tierdrill.history.ledger import Ledger
from tierdrill.targets.base import TargetError
from tierdrill.targets.kubernetes import lease
from tierdrill.web.access_tokens import ROLES, TokenStore
from tierdrill.web.dashboard_app import PAGES, several


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with Browser(options(tmp_path / "home")) as made:
        yield made


def store(browser: Browser) -> TokenStore:
    return TokenStore(browser.options.home)


def test_nobody_sees_anything_and_is_sent_to_sign_in(browser: Browser) -> None:
    for method, path, right, _ in PAGES:
        if right is None:
            continue
        answer = browser.get(re.sub(r"\{.*?\}", "x", path)) if method == "GET" else browser.post(path, {})
        assert answer.status_code == (303 if method == "GET" else 401), path
    assert browser.get("/now").headers["location"] == "/login?next=/now"
    assert browser.get("/now/live", headers={"accept": "text/event-stream"}).status_code == 401


def test_a_token_signs_in_and_the_home_keeps_its_hash_alone(browser: Browser) -> None:
    token, text = store(browser).make("ada", "viewer", 60.0)
    secret = text.rpartition("_")[2]
    kept = browser.options.home / "web" / "tokens.json"
    assert secret not in kept.read_text()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    answer = browser.submit("/login", "/login", token=f" {text}\n", next="/drills")
    assert (answer.status_code, answer.headers["location"]) == (303, "/drills")
    cookie = answer.headers["set-cookie"]
    assert all(part in cookie for part in ("HttpOnly", "SameSite=strict", "tierdrill_session="))
    assert secret not in cookie
    assert "ada (viewer)" in browser.get("/drills").text
    assert token.id in cookie


@pytest.mark.parametrize("text", ["", "nonsense", "tdw_", "tdw_0000_x", "tdw_ü_ü"])
def test_a_wrong_token_is_told(browser: Browser, text: str) -> None:
    store(browser).make("ada", "admin", 60.0)
    answer = browser.submit("/login", "/login", token=text)
    assert answer.status_code == 401
    assert "no token of this home" in answer.text


def test_the_right_id_with_another_secret_is_wrong(browser: Browser) -> None:
    token, _ = store(browser).make("ada", "admin", 60.0)
    _, other = store(browser).make("eve", "viewer", 60.0)
    mixed = f"tdw_{token.id}_{other.split('_', 2)[2]}"
    assert browser.submit("/login", "/login", token=mixed).status_code == 401


def test_an_expired_token_is_told_apart(browser: Browser) -> None:
    _, text = store(browser).make("ada", "admin", -1.0)
    answer = browser.submit("/login", "/login", token=text)
    assert answer.status_code == 401
    assert "has expired" in answer.text


def test_a_revoked_token_ends_its_sessions(browser: Browser) -> None:
    token = browser.sign_in("admin")
    assert browser.get("/now").status_code == 200
    assert store(browser).revoke(token.id)
    assert browser.get("/now").status_code == 303
    assert "was revoked" in browser.get("/login").text
    assert not store(browser).revoke(token.id)


def test_a_session_outlives_a_restart_and_not_its_signature(browser: Browser) -> None:
    browser.sign_in("viewer")
    cookie = {"cookie": "; ".join(f"{name}={value}" for name, value in browser.cookies.items())}
    with Browser(browser.options) as again:
        assert again.get("/now", headers=cookie).status_code == 200
        forged = re.sub(r"(tierdrill_session=\w+\.)\d+", rf"\g<1>{int(time.time()) + 99999}", cookie["cookie"])
        assert again.get("/now", headers={"cookie": forged}).status_code == 303


def test_next_leads_nowhere_else(browser: Browser) -> None:
    _, text = store(browser).make("ada", "viewer", 60.0)
    for there in ("https://evil.example", "//evil.example", "/\\evil.example"):
        answer = browser.submit("/login", "/login", token=text, next=there)
        assert answer.headers["location"] == "/"


def test_a_viewer_who_presses_stop_is_refused_and_nothing_stops(browser: Browser) -> None:
    browser.sign_in("viewer")
    assert "Stop all runs" not in browser.get("/now").text
    answer = browser.submit("/halt", reason="no")
    assert answer.status_code == 403
    assert "operator, facilitator, admin" in answer.text
    assert halted(browser.options.home) is None


def test_an_operator_stops_and_resumes_under_their_name(browser: Browser) -> None:
    browser.sign_in("operator", "grace")
    assert browser.submit("/halt", reason="  ").status_code == 422
    assert browser.submit("/halt", reason="smoke in\nthe room").status_code == 303
    halt = halted(browser.options.home)
    assert halt is not None
    assert (halt.author, halt.reason) == ("grace", "smoke in the room")
    for path in ("/now", "/drills"):
        page = browser.get(path).text
        assert "Halted" in page
        assert "smoke in the room" in page
    assert browser.submit("/resume", reason="aired").status_code == 303
    assert halted(browser.options.home) is None


def test_the_kill_switch_is_on_every_page_of_who_may(browser: Browser) -> None:
    for role in ("operator", "facilitator", "admin"):
        browser.sign_in(role)
        for method, path, right, _ in PAGES:
            if method == "GET" and right in ROLES[role] and "{" not in path and "live" not in path:
                answer = browser.get(path)
                assert answer.status_code == 200, path
                assert 'action="/halt"' in answer.text, path


def test_what_a_trainee_is_to_find_out_is_not_shown(browser: Browser) -> None:
    browser.sign_in("trainee")
    for path in ("/now", "/now/live", "/drills"):
        assert browser.get(path).status_code == 403, path


def test_a_form_of_elsewhere_is_refused(browser: Browser) -> None:
    browser.sign_in("admin")
    good = csrf_of(browser.get("/now").text)
    for csrf in ("", "x", "ü", good[::-1]):
        assert browser.post("/halt", {"csrf": csrf, "reason": "x"}).status_code == 403
    with Browser(browser.options) as other:
        other.sign_in("admin")
        foreign = csrf_of(other.get("/now").text)
    assert browser.post("/halt", {"csrf": foreign, "reason": "x"}).status_code == 403
    fields = {"csrf": good, "reason": "x"}
    for headers in ({"origin": "https://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
        assert browser.post("/halt", fields, headers=headers).status_code == 403
    assert browser.post("/halt", {**fields, "more": "x" * 70_000}).status_code == 413
    assert halted(browser.options.home) is None
    assert browser.post("/halt", fields, headers={"origin": "http://localhost"}).status_code == 303


def test_only_our_names_are_answered(tmp_path: Path) -> None:
    with Browser(options(tmp_path / "home", hosts=frozenset({"drills.example.org"}))) as browser:
        for host, status in (
            ("localhost", 200), ("127.0.0.1:8714", 200), ("drills.example.org", 200), ("evil.example", 403), ("", 403),
        ):  # fmt: skip
            answer = browser.get("/login", headers={"host": host})
            assert answer.status_code == status, host
        assert "--allow-host" in browser.get("/login", headers={"host": "evil.example"}).text


def test_no_page_allows_inline_script_or_style(browser: Browser) -> None:
    browser.sign_in("admin")
    for path in ("/login", "/now", "/drills", "/nowhere", "/static/dashboard.js"):
        answer = browser.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        if path.startswith("/static"):
            continue
        assert not re.findall(r"<style|\sstyle=|<script(?! src)|\son\w+=|javascript:", answer.text), path


def test_cookies_are_secure_behind_https(tmp_path: Path) -> None:
    with Browser(options(tmp_path / "home", secure=True)) as browser:
        assert "Secure" in browser.get("/login").headers["set-cookie"]


def test_every_role_is_offered_by_the_command() -> None:
    (offered,) = [one.type for one in token.params if one.name == "role"]
    assert isinstance(offered, click.Choice) and tuple(offered.choices) == tuple(ROLES)


def test_tokens_that_cannot_be_read_are_told(browser: Browser) -> None:
    (browser.options.home / "web" / "tokens.json").write_text("{")
    answer = browser.submit("/login", "/login", token="tdw_a_b")
    assert answer.status_code == 503
    assert "not a list of tokens" in answer.text


def test_a_halt_that_the_ledger_does_not_keep_is_one_all_the_same(browser: Browser) -> None:
    browser.sign_in("operator")
    csrf = csrf_of(browser.get("/now").text)
    throw_kill_switch(browser.options.home, "x", "makes the ledger")
    with closing(Ledger(browser.options.home)) as ledger:
        ledger.resume("x", "x")
    (browser.options.home / "ledger.db").write_bytes(b"")
    answer = browser.post("/halt", {"csrf": csrf, "reason": "now"})
    assert answer.status_code == 200
    assert "not recorded in the ledger" in answer.text


def test_the_command_makes_lists_and_revokes_tokens(tmp_path: Path) -> None:
    home = tmp_path / "home"
    made = tierdrill(home, "web", "token", "--name", "ada", "--role", "operator", "--for", "8h")
    assert made.code == 0, made.err
    token = TokenStore(home).match(made.out)
    assert token is not None
    assert (token.person, token.role) == ("ada", "operator")
    assert round(token.expires_at - token.created_at) == 8 * 3600
    listed = tierdrill(home, "web", "token", "list")
    assert f"{token.id}  ada   operator  valid until" in listed.out
    assert tierdrill(home, "web", "token", "revoke", token.id).code == 0
    assert tierdrill(home, "web", "token", "revoke", token.id).code == 2
    assert [entry.what for entry in entries(home)] == ["access.granted", "access.revoked"]
    assert tierdrill(home, "web", "token").code == 2
    refused = tierdrill(home, "web", "--listen", "0.0.0.0")
    assert refused.code == 2
    assert "--tls-cert" in refused.err


def test_several_homes_have_pages_and_tokens_of_their_own(tmp_path: Path) -> None:
    names = ("east", "west")
    east, west = (options(tmp_path / name, name=name, homes=names) for name in names)
    with Browser(east, several([east, west])) as browser:
        assert browser.get("/").headers["location"] == "/home/east/"
        assert browser.get("/", headers={"host": "elsewhere.example"}).status_code == 403
        assert browser.get("/home/west/runs").headers["location"] == "/home/west/login?next=/runs"
        _, token = TokenStore(west.home).make("ada", "operator", 3600)
        signed = browser.submit("/home/west/login", "/home/west/login", token=token, next="/runs")
        assert signed.headers["location"] == "/home/west/runs"
        page = browser.get("/home/west/runs").text
        assert 'href="/home/west/runs" aria-current="page"' in page and 'href="/home/east/"' in page
        leads = set(re.findall(r'(?:href|action|src)="(/[^"]*)"', page))
        assert leads and all(one.startswith("/home/") for one in leads)
        assert all(browser.get(one).status_code == 200 for one in leads if "/static/" in one)
        assert browser.get("/home/east/runs").status_code == 303, "a token is of one home"
        browser.submit("/home/west/halt", "/home/west/runs", reason="smoke")
        assert halted(west.home) is not None and halted(east.home) is None
        assert "smoke" in browser.get("/home/west/runs").text


@pytest.mark.parametrize("given", [("no/such/folder",), ("a b={home}",), ("x={home}", "x={home}")])
def test_homes_that_cannot_be_served_are_named(tmp_path: Path, given: tuple[str, ...]) -> None:
    words = [word for one in given for word in ("--home", one.format(home=tmp_path))]
    refused = tierdrill(tmp_path / "home", "web", *words)
    assert refused.code == 2 and "--home" in refused.err


def test_a_cluster_of_the_catalogue_is_halted_and_resumed_with_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue = catalogue_with(tmp_path / "catalogue")
    for name, there in (("environment", "cluster"), ("tiers", "their-tiers"), ("workloads", "their-models")):
        shutil.copy(ROOT / "tests" / "cluster" / f"{name}.yaml", catalogue / "drills" / "platform" / f"{there}.yaml")
    said: list[str | None] = []

    class Lease:
        def halt(self, why: str | None) -> None:
            if said == ["away"]:
                raise TargetError("no route to it")
            said.append(why)

    monkeypatch.setattr(lease, "lease_of", lambda settings: Lease())
    with Browser(options(tmp_path / "home", catalogue)) as browser:
        browser.sign_in("operator", "grace")
        page = browser.get("/runs").text
        cluster = re.search(r'name="cluster"><option value="">none</option><option>([^<]+)<', page)
        assert cluster is not None
        browser.submit("/halt", reason="smoke", cluster=cluster[1])
        assert said == ["smoke (grace)"] and halted(browser.options.home) is not None
        browser.submit("/resume", reason="aired", cluster=cluster[1])
        assert said[1:] == [None] and halted(browser.options.home) is None
        said[:] = ["away"]
        assert "no route to it" in browser.submit("/halt", reason="smoke", cluster=cluster[1]).text
        assert halted(browser.options.home) is not None, "the home's own runs stop all the same"
        assert browser.submit("/resume", reason="aired", cluster=cluster[1]).status_code == 503
        assert halted(browser.options.home) is not None
        assert "no environment" in browser.submit("/halt", reason="smoke", cluster="nowhere").text


def test_a_page_that_is_open_is_sent_nothing_more_once_its_token_is_revoked(browser: Browser) -> None:
    token = browser.sign_in("viewer")
    dashboard = browser.app.state.dashboard

    async def watch() -> httpx.Response:
        watching = asyncio.create_task(browser.ask("/now/live"))
        while not dashboard.viewers:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert store(browser).revoke(token.id)
        throw_kill_switch(browser.options.home, "grace", "smoke")
        dashboard.nudge()
        return await asyncio.wait_for(watching, 60.0)

    assert "smoke" not in browser.run(watch()).text
    assert dashboard.viewers == {"now": 0}
