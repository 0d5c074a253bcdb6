"""What a notice reads like, whatever is in it; and when a failed delivery is tried again."""

from __future__ import annotations

import json
from email import message_from_bytes, policy

from hypothesis import given
from hypothesis import strategies as st

from tierdrill.documents.models.channels import EmailChannel
from tierdrill.judge.verdict import Check, Status, Verdict
from tierdrill.monitoring.pagerduty import event_problems, page_event
from tierdrill.schedule.notify import render
from tierdrill.schedule.notify.notification import (
    ATTEMPTS_MAX,
    FIRST_WAIT_S,
    KINDS,
    LONGEST_WAIT_S,
    RETRY_AFTER_MAX_S,
    Notice,
    given_up,
    notice_of_verdict,
    retry_after,
    wait_before,
)

WORDS = st.text(max_size=400)
NOTICES = st.builds(
    Notice,
    kind=st.sampled_from(KINDS),
    calendar=WORDS,
    entry=WORDS,
    drill=WORDS,
    run=WORDS,
    reason=WORDS,
    summary=st.text(max_size=3000),
    at=st.floats(0, 4e9),
    key=st.text(max_size=600),
    report=WORDS,
    owner=WORDS,
    rank=st.none() | st.integers(1, 9),
    details=st.lists(st.text(max_size=2000), max_size=9).map(tuple),
    test=st.booleans(),
)
MAIL = EmailChannel(name="mail", type="email", host="localhost", sender="a@example.org", to=("b@example.org",))


@given(NOTICES, st.integers(0, 5))
def test_pagerduty_takes_every_notice(notice: Notice, repeated: int) -> None:
    for action in ("trigger", "resolve"):
        post = render.pagerduty(notice, notice.subject, action, "5" * 32, "id", repeated)
        assert event_problems(json.loads(post.body)) == []


@given(NOTICES, st.integers(0, 5))
def test_a_mail_is_one_letter_with_one_subject_line(notice: Notice, repeated: int) -> None:
    letter = render.mail(notice, "0123", MAIL, repeated, 1.0)
    back = message_from_bytes(letter.as_bytes(), policy=policy.default)
    assert set(back.keys()) >= {"Subject", "From", "To", "Date", "Message-ID"}
    assert back["To"] == "b@example.org"
    assert "\n" not in str(letter["Subject"])


@given(NOTICES, st.integers(0, 5))
def test_slack_keeps_to_its_limits(notice: Notice, repeated: int) -> None:
    message = json.loads(render.slack(notice, "0123", repeated).body)
    header, *sections = message["blocks"]
    assert 0 < len(header["text"]["text"]) <= 150
    for section in sections:
        assert 0 < len(section["text"]["text"]) <= 3000
        assert "<" not in section["text"]["text"]


@given(NOTICES)
def test_a_notice_is_the_same_after_json(notice: Notice) -> None:
    assert Notice.from_json(json.loads(json.dumps(notice.to_json()))) == notice


def key_of(subject: str) -> str:
    found: str = page_event("5" * 32, "resolve", f"tierdrill/{subject}")["dedup_key"]
    return found


@given(st.text(max_size=600), st.text(max_size=600))
def test_different_subjects_have_different_dedup_keys(one: str, other: str) -> None:
    assert 1 <= len(key_of(one)) <= 255
    assert (key_of(one) == key_of(other)) == (one == other)


def test_long_subjects_that_begin_alike_have_different_dedup_keys() -> None:
    assert key_of("a" * 300) != key_of("a" * 301)


@given(st.integers(1, 10_000), st.floats(0, 1), st.none() | st.floats(0, 1e9))
def test_waits_are_bounded_and_never_shorter_than_asked_for(attempts: int, chance: float, asked: float | None) -> None:
    wait = wait_before(attempts, chance, asked)
    assert FIRST_WAIT_S / 2 <= wait <= max(LONGEST_WAIT_S, RETRY_AFTER_MAX_S)
    if asked is not None:
        assert wait >= min(asked, RETRY_AFTER_MAX_S)
    assert wait_before(attempts + 1, chance) >= wait_before(attempts, chance)


def test_trying_ends() -> None:
    assert not given_up(1, 10.0, 60.0)
    assert given_up(1, 60.0, 60.0)
    assert given_up(ATTEMPTS_MAX, 0.0, 60.0)


def test_retry_after_as_a_number_and_as_a_date() -> None:
    now = 1_445_412_480.0
    assert retry_after("120", now) == 120.0
    assert retry_after("Wed, 21 Oct 2015 07:30:00 GMT", now) == 120.0
    assert retry_after("Wed, 21 Oct 2015 07:00:00 GMT", now) == 0.0
    assert retry_after(None, now) is None
    assert retry_after("soon", now) is None


@given(st.text())
def test_any_retry_after_is_read(header: str) -> None:
    wait = retry_after(header, 0.0)
    assert wait is None or wait >= 0


def test_the_checks_that_decided_are_told() -> None:
    checks = [
        Check(f"slo/critical/{n}", "slo", Status.FAILED, "t", "99.5%", f"{n}%") for n in range(10)
    ]
    verdict = Verdict(
        "r1", "node-loss", "drill", Status.FAILED, "it failed", tuple(check.id for check in checks), tuple(checks)
    )
    notice = notice_of_verdict(verdict, calendar="nightly", entry="lab", owner="me", at=5.0, report="/r", rank=1)
    assert (notice.kind, notice.status, notice.subject) == ("failed", "failed", "nightly/lab/node-loss")
    assert notice.reason == "slo/critical/0, slo/critical/1, slo/critical/2 and 7 more"
    assert notice.details[0] == "slo/critical/0: expected 99.5%; seen 0%"
    assert notice.details[-1] == "and 2 more"
    text = render.text(notice)
    assert text.startswith("node-loss FAILED (nightly/lab)\n\nsummary: it failed\n")
    assert "tierdrill judge r1" in text
