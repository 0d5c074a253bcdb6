"""Channels as documents write them: what is refused, where, and that no secret is ever repeated."""

from __future__ import annotations

from typing import Annotated

import pytest
from pydantic import ValidationError

from tierdrill.documents.catalogue_reader import FROM_DOCUMENT
from tierdrill.documents.check.channels import check_channels, check_notify
from tierdrill.documents.models.channels import Channel, EmailChannel, PagerDutyChannel, SlackChannel, WebhookChannel
from tierdrill.documents.models.units import Frozen, Part
from tierdrill.documents.problems import Problem, in_order
from tierdrill.documents.reading.located_errors import problems_of
from tierdrill.documents.reading.reading_state import Place
from tierdrill.documents.reading.yaml_positions import read_text

SECRET = "hunter2-is-secret"
GOOD = """channels:
  - {name: hook, type: webhook, url: "https://drills.example.org/in?team=7", secret: {env: DRILL_WEBHOOK_SECRET}}
  - {name: chat, type: slack, url: {file: /run/secrets/slack}, on: [failed, held]}
  - name: mail
    type: email
    host: smtp.example.org
    user: drills
    password: {file: ~/.smtp}
    sender: Drills <drills@example.org>
    to: [oncall@example.org]
    once_within: 12h
  - {name: page, type: pagerduty, routing_key: {env: PD_KEY}, rank_at_most: 1, owners: [platform]}
notify: [hook, page]
"""


class Some(Part):
    """A document with channels."""

    channels: Annotated[tuple[Channel, ...], Frozen]
    notify: Annotated[tuple[str, ...], Frozen] = ()


def read(text: str, owners: tuple[str, ...] = ()) -> tuple[Some | None, list[Problem]]:
    """The document, and everything wrong with it."""
    sources, problems = read_text("some.yaml", text.encode())
    assert not problems, problems
    try:
        some = Some.model_validate(sources[0].data, context=FROM_DOCUMENT)
    except ValidationError as error:
        return None, problems_of(error, sources[0], Some)
    place = Place(sources[0], problems)
    check_channels(place.at("channels"), some.channels, owners)
    check_notify(place.at("notify"), some.notify, some.channels)
    return some, in_order(problems)


def test_the_good_ones_are_of_their_kinds() -> None:
    some, problems = read(GOOD, ("platform",))
    assert problems == []
    assert some is not None
    assert [type(one) for one in some.channels] == [WebhookChannel, SlackChannel, EmailChannel, PagerDutyChannel]
    mail = some.channels[2]
    assert isinstance(mail, EmailChannel)
    assert (mail.port_used, mail.security, mail.once_within) == (587, "starttls", 43200.0)
    assert "passed" not in mail.on
    assert "held" not in some.channels[3].on


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("secret: {env: DRILL_WEBHOOK_SECRET}", f"secret: {SECRET}", "2:86: a secret written into the document, "),
        ("url: {file: /run/secrets/slack}", f"url: https://hooks.example.org/{SECRET}", "3:36: a secret written"),
        ("{env: PD_KEY}", f'{{env: "{SECRET}"}}', "12:54: something that is not the name of an environment variable"),
        ("{env: PD_KEY}", f'{{file: "{SECRET}"}}', "12:55: something that is not the whole path of a file"),
        ("{env: PD_KEY}", "{env: PD_KEY, file: /x}", "env and file together; one of them"),
        ("{env: PD_KEY}", "{}", "neither env nor file; one of them"),
        (
            "{env: PD_KEY}", "{environment: PD_KEY}",
            "unknown key 'environment' in channels[3].routing_key, expected env or file",
        ),
        ("https://drills", f"https://me:{SECRET}@drills", "2:38: a URL with a user or password in it"),
        (
            "https://drills.example.org/in?team=7", "drills.example.org",
            "channels[0].url: got 'drills.example.org', ",
        ),
        (
            "type: slack", "type: slak",
            "3:24: channels[1].type: got 'slak', "
            "expected webhook, slack, email or pagerduty (did you mean slack?)",
        ),
        ("type: slack, ", "", "3:5: no key 'type' in channels[1]; type is required"),
        ("    to: [oncall@example.org]\n", "", "no key 'to' in channels[2]; to is required"),
        (
            "to: [oncall@example.org]", "to: [oncall]",
            "channels[2].to[0]: got 'oncall', expected an e-mail address",
        ),
        (
            "host: smtp.example.org", "host: smtp.example.org\n    hosts: x",
            "expected name, on, rank_at_most, owners, once_within, timeout, give_up_after, type, host, port, ",
        ),
        ("host: smtp.example.org", "host: https://smtp.example.org", "expected the name or the address of a host"),
        ("once_within: 12h", "once_within: 12", "(did you mean 12s?)"),
        (
            "once_within: 12h", "security: none",
            "11:15: a password sent to smtp.example.org for everybody to read; starttls or tls",
        ),
        ("    user: drills\n", "", "password without user; both, or neither"),
        ("name: chat", "name: hook", "a second channel 'hook'"),
        ("on: [failed, held]", "on: [faild]", "(did you mean failed?)"),
        ("on: [failed, held]", "on: [held, held]", "a second kind 'held'"),
        ("on: [failed, held]", "on: []", "expected a list of at least 1"),
        (
            "owners: [platform]", "owners: [platfrom]",
            "no entry is owned by 'platfrom'; owners: platform (did you mean platform?)",
        ),
        (
            "notify: [hook, page]", "notify: [hook, pages]",
            "no channel named 'pages', expected chat, hook, mail or page (did you mean page?)",
        ),
        ("rank_at_most: 1", "timeout: 0s", "timeout of no time"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_at_its_place_without_the_secret(old: str, new: str, said: str) -> None:
    assert old in GOOD
    problems = read(GOOD.replace(old, new, 1), ("platform",))[1]
    text = "\n".join(map(str, problems))
    assert said in text
    assert SECRET not in text
    assert len(problems) == 1
