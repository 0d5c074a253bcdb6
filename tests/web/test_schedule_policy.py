"""The pages "schedule" and "policy"."""

from __future__ import annotations

import html
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.support import ROOT, with_runs
from tests.judge.build import Run
from tests.shipped import shipped_documents
from tests.web.standin import Browser, catalogue_with, options
from tierdrill.history.audit_log import AUDIT_FILE, AuditEntry, append
from tierdrill.schedule.store.slot_store import ScheduleStore
from tierdrill.tier_policy.override_grants import grant, revoke


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with Browser(options(tmp_path / "home")) as made:
        made.sign_in("viewer")
        yield made


def test_the_next_slots_and_that_nobody_runs_them(browser: Browser) -> None:
    page = browser.get("/schedule").text
    assert "No scheduler has run in this home" in page
    assert page.count('data-name="due"') == 20
    assert "nightly/" in page
    assert "team-" in page


def test_what_the_scheduler_recorded(browser: Browser) -> None:
    with closing(ScheduleStore(browser.options.home)) as store:
        store.note(1_700_000_000.0, "started", "for the test")
    page = browser.get("/schedule").text
    assert "No scheduler is running" in page


def test_a_schedule_that_cannot_be_read_is_told(browser: Browser) -> None:
    (browser.options.home / "schedule.db").write_bytes(b"no database at all, whatever its name says" * 100)
    answer = browser.get("/schedule")
    assert answer.status_code == 200
    assert "schedule.db" in answer.text


def test_tiers_with_owners_promises_and_rights(browser: Browser) -> None:
    page = browser.get("/policy").text
    for words in (
        "rank 1, team-serving-core",
        "availability ≥ 99.5%",
        "p99 latency ≤ 500ms",
        "may override",
        "escalation",
    ):
        assert words in page, words
    assert "every rule is kept" in page


def test_what_breaks_a_rule_is_listed(tmp_path: Path) -> None:
    catalogue = catalogue_with(tmp_path / "catalogue")
    tiers = catalogue / "drills" / "platform" / "tiers.yaml"
    tiers.write_text(tiers.read_text().replace("rank: 3", "rank: 4"))
    with Browser(options(tmp_path / "home", catalogue)) as browser:
        browser.sign_in("viewer")
        page = browser.get("/policy").text
        assert "TP001" in page
        assert "every rule is kept" not in page


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("model=assistant&class=Enterprise&prompt=10&max=10", "tier <b>critical</b>"),
        ("model=nothing", "there is no model"),
        ("model=assistant&prompt=999999", "the prompt is longer than"),
        ("model=assistant&prompt=x", "tier <b>"),
    ],
)
def test_which_tier_serves_a_request(browser: Browser, query: str, said: str) -> None:
    page = browser.get(f"/policy?{query}").text
    assert said in page


def test_the_audit_log_and_whether_it_is_as_written(browser: Browser) -> None:
    home = browser.options.home
    append(home, AuditEntry("grace", "halt", "kill switch", "smoke", "off", "on"))
    append(home, AuditEntry("grace", "resume", "kill switch", "aired", "on", "off"))
    page = browser.get("/policy").text
    assert "2 entries, as written" in page
    assert page.index("aired") < page.index("smoke")
    log = home / AUDIT_FILE
    log.write_text(log.read_text().replace("smoke", "smirk"))
    assert "not as it was written" in browser.get("/policy").text


def test_an_override_in_force_is_shown_until_it_ends(browser: Browser) -> None:
    home = browser.options.home
    tiers = shipped_documents().tiers["serving"]
    tier = tiers.by_name("best-effort")
    given = grant(
        home, tiers, "best-effort", "shed-order", seconds=600, role=tier.may_override[0], who="ada", why="rush"
    )
    for path in ("/now", "/policy"):
        page = browser.get(path).text
        assert f"override in force: {given}" in html.unescape(page), path
    revoke(home, tiers, "best-effort", "shed-order", role=tier.may_override[0], who="ada", why="over")
    assert "override in force" not in browser.get("/policy").text


TIERS_TEXT = (ROOT / "drills/platform/tiers.yaml").read_text()
PLAYBOOK_TEXT = (ROOT / "playbooks/restart-replica.yaml").read_text()


def impact(browser: Browser, text: str, **fields: str) -> tuple[int, str]:
    answer = browser.submit("/policy/impact", "/policy/impact", text=text, **fields)
    return answer.status_code, html.unescape(answer.text)


def test_the_impact_of_proposed_tiers_and_nothing_is_kept(browser: Browser) -> None:
    assert "name: best-effort" in browser.get("/policy/impact").text
    before = {path: path.stat().st_size for path in browser.options.home.rglob("*")}
    weaker = TIERS_TEXT.replace("availability: 99.5%", "availability: 99%").replace("slots: 2", "slots: 1")
    status, page = impact(browser, weaker)
    assert status == 200
    for words in (
        "critical objectives.availability: 99.5% -> 99% (weaker, not approved)",
        "2 promises of rank 1 would get weaker",
        "0 change tier",
        "-> 1.25, EUR 4.38 -> 3.12 an hour",
        "availability: 99%",
    ):
        assert words in page, words
    assert "no changes" in impact(browser, TIERS_TEXT)[1]
    assert {path: path.stat().st_size for path in browser.options.home.rglob("*")} == before


def test_the_impact_under_the_load_of_a_run(browser: Browser) -> None:
    with_runs(browser.options.home, one=Run())
    assert browser.get("/policy/impact").status_code == 200
    status, page = impact(browser, TIERS_TEXT, run="one")
    assert (status, "requests (run one)" in page) == (200, True)
    status, page = impact(browser, TIERS_TEXT, run="../one")
    assert (status, "no run '../one' among the latest 50" in page) == (422, True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tiers: [", "proposed:2:1: "),
        (TIERS_TEXT.replace("rank: 2", "rank: two"), "proposed:48:11: tiers[1].rank: got 'two'"),
        ("", "proposed:1:1: an empty file"),
        (PLAYBOOK_TEXT, "proposed: no Tiers document, expected one"),
        (TIERS_TEXT.replace("name: best-effort", "name: bulk"), "proposed: route 1 of workloads models leads to tier"),
        ("# " + "x" * 131_072, "proposed: 131,074 bytes, expected at most 131,072"),
    ],
)
def test_what_is_wrong_with_proposed_tiers_is_told_with_its_place(browser: Browser, text: str, said: str) -> None:
    status, page = impact(browser, text)
    assert status == 422
    assert said in page


def test_a_proposal_that_is_far_too_large_is_not_read(browser: Browser) -> None:
    assert impact(browser, "x" * 600_000)[0] == 413
