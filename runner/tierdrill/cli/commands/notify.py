"""`tierdrill notify`: try a channel of a calendar, and see what was told, what waits and what was given up."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from tierdrill.cli.completion import complete_channel
from tierdrill.cli.errors import Refusal
from tierdrill.cli.folders import Surroundings
from tierdrill.cli.options import echo_json, json_option
from tierdrill.text import plural, table, utc

if TYPE_CHECKING:
    from tierdrill.documents.models.channels import Channel
    from tierdrill.schedule.notify.notification import Notice
    from tierdrill.schedule.notify.outbox_store import Logged

FAILED = 1


@click.group("notify")
def command() -> None:
    """Test a notification channel, or show delivery history.

    Channels are defined in the calendars.
    """


@command.command("test")
@click.argument("channel", shell_complete=complete_channel)
@click.option("--calendar", help="Calendar of the channel [default: the only one that has it].")
@json_option
@click.pass_obj
def test(here: Surroundings, channel: str, calendar: str | None, as_json: bool) -> int:
    """Send a test message to CHANNEL and print the response.

    PagerDuty gets an incident of severity info, which is resolved at once. Exit code 1 if delivery failed.
    """
    name, chosen = _channel(here, channel, calendar)
    steps = asyncio.run(_try(chosen, _test_notice(name, chosen.name)))
    ok = all(step["ok"] for step in steps)
    if as_json:
        echo_json({"calendar": name, "channel": chosen.name, "type": chosen.type, "ok": ok, "steps": steps})
    else:
        for step in steps:
            went = "delivered" if step["ok"] else "NOT DELIVERED"
            what = f", {step['action']}" if len(steps) > 1 else ""
            click.echo(f"{chosen.name} ({chosen.type}, calendar {name}){what}: {went}: {step['seen']}")
    return 0 if ok else FAILED


@command.command("log")
@click.option("--state", type=click.Choice(("waiting", "sent", "failed")), help="Only messages in this state.")
@click.option("--limit", type=click.IntRange(1, 20_000), default=20, show_default=True, help="Show at most this many.")
@json_option
@click.pass_obj
def log(here: Surroundings, state: str | None, limit: int, as_json: bool) -> None:
    """Show sent, waiting and failed messages, newest first."""
    from tierdrill.schedule.notify.outbox_store import MessageStore

    counts, lines = {"waiting": 0, "sent": 0, "failed": 0}, []
    with MessageStore.kept(here.home) as store:
        if store:
            counts, lines = store.counts(), store.log(state, limit)
    if as_json:
        echo_json({"counts": counts, "messages": [asdict(line) for line in lines]})
        return
    if lines:
        click.echo(table([_row(line) for line in lines], ("id", "posted", "channel", "told", "state", "answer")))
    told = f"{counts['sent']} sent, {counts['waiting']} waiting, {counts['failed']} failed"
    click.echo(told if any(counts.values()) else "no messages")
    if counts["failed"]:
        click.echo("use `tierdrill notify resend` to retry failed messages")


@command.command("resend")
@click.argument("message", required=False, metavar="[ID]")
@click.pass_obj
def resend(here: Surroundings, message: str | None) -> int:
    """Queue failed messages again; the scheduler delivers them.

    The one whose ID begins with ID, or all.
    """
    import time

    from tierdrill.schedule.notify.outbox_store import MessageStore

    with MessageStore.kept(here.home) as store:
        again = store.again(message, time.time()) if store else 0
    if message is not None and not again:
        raise Refusal(f"no failed message begins with {message!r}; `tierdrill notify log` shows them")
    click.echo(f"{plural(again, 'message')} queued again")
    return 0


def _channel(here: Surroundings, name: str, calendar: str | None) -> tuple[str, Channel]:
    from tierdrill.cli.drill_documents import whole_catalogue
    from tierdrill.did_you_mean import did_you_mean, nearest
    from tierdrill.text import either, listed

    calendars = whole_catalogue(here.catalogue).calendars
    if calendar is not None and calendar not in calendars:
        raise Refusal(f"no calendar named {calendar!r} in {here.catalogue}, expected {either(sorted(calendars))}")
    every = {
        (owner, channel.name): channel
        for owner, document in sorted(calendars.items())
        for channel in document.channels
        if calendar in (None, owner)
    }
    found = [owner for owner, each in every if each == name]
    if not found:
        names = sorted({each for _, each in every})
        near = nearest(name, names)
        known = f"known: {listed(names)}" if names else "no calendar here has channels"
        raise Refusal(f"no channel named {name!r}; {known}{did_you_mean(near)}")
    if len(found) > 1:
        raise Refusal(f"channel {name!r} is in several calendars; name one with --calendar: {listed(found)}")
    return found[0], every[found[0], name]


def _test_notice(calendar: str, channel: str) -> Notice:
    import time

    from tierdrill.schedule.notify.notification import Notice

    return Notice(
        kind="failed",
        calendar=calendar,
        entry="test",
        key=f"{calendar}/test/{channel}",
        summary=f"test of channel {channel}; drill notifications go here",
        at=time.time(),
        test=True,
    )


async def _try(channel: Channel, notice: Notice) -> list[dict[str, str | bool]]:
    import uuid

    from tierdrill.redaction import Secrets
    from tierdrill.schedule.notify.notification import Message
    from tierdrill.schedule.notify.send import send

    steps: list[dict[str, str | bool]] = []
    secrets = Secrets()
    for action in ("tell", "resolve") if channel.type == "pagerduty" else ("tell",):
        answer = await send(channel, Message(uuid.uuid4().hex, notice, notice.subject, action), secrets)
        steps.append({"action": action, "ok": answer.ok, "seen": answer.seen})
        if not answer.ok:
            break
    return steps


def _row(line: Logged) -> tuple[str, ...]:
    told = line.kind if line.action == "tell" else "resolve"
    state = line.state
    if line.state == "waiting" and line.attempts:
        state = f"waiting until {utc(line.next_at)[11:]}"
    tries = f" ({line.attempts} attempts)" if line.attempts > 1 else ""
    answer = line.answer if len(line.answer) <= 80 else f"{line.answer[:79]}…"
    return (
        line.id[:8], utc(line.created_at), f"{line.calendar}/{line.channel}", f"{told} {line.subject}",
        state + tries, answer,
    )  # fmt: skip
