"""How a notice reads in each channel: plain text, Slack blocks, mail, a PagerDuty event, signed JSON. Pure.

What comes from documents and runs is data: control characters are taken out, Slack's markup is escaped, and a subject
is one line.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any

from tierdrill.documents.models.channels import EmailChannel
from tierdrill.monitoring.pagerduty import SUMMARY_MAX, page_event
from tierdrill.monitoring.webhook_receiver import SIGNATURE_HEADER, TIMESTAMP_HEADER, sign_at
from tierdrill.schedule.notify.notification import Notice
from tierdrill.text import plural

KIND_HEADER = "X-Tierdrill-Kind"
IDEMPOTENCY_HEADER = "Idempotency-Key"
WEBHOOK_VERSION = 1
# Slack's limits: https://docs.slack.dev/reference/block-kit/blocks
SLACK_HEADER_MAX = 150
SLACK_SECTION_MAX = 3000
SUBJECT_MAX = 200
LINE_MAX = 1000
SEVERITIES = {
    "failed": "error",
    "unclean": "critical",
    "aborted": "warning",
    "inconclusive": "warning",
    "missed": "warning",
    "regression": "warning",
}
SAID = {
    "passed": "passed",
    "failed": "FAILED",
    "inconclusive": "is inconclusive",
    "aborted": "was aborted",
    "unclean": "is UNCLEAN: something is still injected",
    "held": "was held back",
    "missed": "was missed",
    "regression": "regressed",
    "recovered": "has recovered",
    "rollout": "rollout changed",
}


@dataclass(frozen=True)
class Post:
    """An HTTP request to send: its body and the headers that go with it."""

    body: bytes
    headers: Mapping[str, str]


def one_line(text: str, most: int = LINE_MAX) -> str:
    """The text on one line, without control characters, cut with an ellipsis."""
    plain = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return plain if len(plain) <= most else plain[: most - 1] + "…"


def title(notice: Notice) -> str:
    """The headline: what, what became of it, and in which calendar."""
    what = notice.drill or notice.entry
    mark = "TEST: " if notice.test else ""
    return one_line(f"{mark}{what} {SAID[notice.kind]} ({notice.calendar}/{notice.entry})", SUBJECT_MAX)


def facts(notice: Notice) -> list[tuple[str, str]]:
    """Everything else that is known, by name, in the order in which it is read."""
    told = [
        ("summary", notice.summary),
        ("reason", notice.reason),
        ("run", notice.run),
        ("when", moment(notice.at)),
        ("report", notice.report),
        ("owner", notice.owner),
    ]
    return [(name, one_line(value)) for name, value in told if value]


def moment(at: float) -> str:
    """A time in UTC; empty for none."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if at > 0 else ""


def text(notice: Notice, repeated: int = 0) -> str:
    """Plain text, for mail and for every channel that shows nothing better."""
    lines = [title(notice), ""]
    lines += [f"{name}: {value}" for name, value in facts(notice)]
    if notice.details:
        lines += ["", *(f"- {one_line(line)}" for line in notice.details)]
    if repeated:
        lines += ["", f"Repeated {plural(repeated, 'more time')} since the last notification."]
    if notice.run and not notice.test:
        lines += ["", f"tierdrill judge {notice.run} says what was expected and what was seen."]
    return "\n".join(lines) + "\n"


def webhook(notice: Notice, message: str, repeated: int, secret: str, at: float) -> Post:
    """JSON, signed over timestamp, full stop and body, so that an old message cannot be sent again by somebody else."""
    document = {
        "version": WEBHOOK_VERSION,
        "id": message,
        "title": title(notice),
        "text": text(notice, repeated),
        "repeated": repeated,
        "key": notice.subject,
        "notice": notice.to_json(),
    }
    body = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    stamp = str(int(at))
    return Post(
        body,
        {
            "Content-Type": "application/json",
            TIMESTAMP_HEADER: stamp,
            SIGNATURE_HEADER: sign_at(secret, stamp, body),
            IDEMPOTENCY_HEADER: message,
            KIND_HEADER: notice.kind,
        },
    )


def slack(notice: Notice, message: str, repeated: int = 0) -> Post:
    """Blocks, with the whole text as what notifications and older clients show."""
    rows = [f"*{name}*  {_escaped(value)}" for name, value in facts(notice)]
    rows += [f"• {_escaped(one_line(line))}" for line in notice.details]
    if repeated:
        rows.append(f"_repeated {repeated} more since the last notification_")
    section, used = [], 0
    for row in rows:
        used += len(row) + 1
        if used > SLACK_SECTION_MAX:
            break
        section.append(row)
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": one_line(title(notice), SLACK_HEADER_MAX)}}
    ]
    if section:
        blocks.append({"type": "section", "text": {"type": "mrkdwn", "text": "\n".join(section)}})
    body = json.dumps({"text": _escaped(title(notice)), "blocks": blocks}).encode()
    return Post(body, {"Content-Type": "application/json", IDEMPOTENCY_HEADER: message})


def _escaped(value: str) -> str:
    return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def mail(notice: Notice, message: str, channel: EmailChannel, repeated: int = 0, at: float = 0.0) -> EmailMessage:
    """A mail; its Message-ID is the message's own, so that one delivered twice is seen as one."""
    letter = EmailMessage()
    letter["Subject"] = f"[tierdrill] {title(notice)}"
    letter["From"] = channel.sender
    letter["To"] = ", ".join(channel.to)
    letter["Date"] = format_datetime(datetime.fromtimestamp(at, UTC))
    letter["Message-ID"] = f"<{message}@tierdrill.invalid>"
    letter["Auto-Submitted"] = "auto-generated"
    letter[KIND_HEADER] = notice.kind
    letter.set_content(text(notice, repeated))
    return letter


def pagerduty(notice: Notice, subject: str, action: str, routing_key: str, message: str, repeated: int = 0) -> Post:
    """An event of the Events API v2: `trigger`, or `resolve` for what was triggered with the same subject."""
    severity = "info" if notice.test else SEVERITIES.get(notice.kind, "info")
    event = page_event(
        routing_key,
        action,
        f"tierdrill/{subject}",
        summary=one_line(f"{title(notice)}: {notice.summary}" if notice.summary else title(notice), SUMMARY_MAX),
        source=f"tierdrill/{notice.calendar}/{notice.entry}",
        severity="critical" if notice.kind == "failed" and notice.rank == 1 else severity,
        details={**dict(facts(notice)), "details": [one_line(line) for line in notice.details]}
        | ({"repeated": repeated} if repeated else {}),
        component=notice.drill or notice.entry,
        **{"class": notice.kind},
        **({"timestamp": datetime.fromtimestamp(notice.at, UTC).isoformat()} if notice.at > 0 else {}),
    )
    return Post(json.dumps(event).encode(), {"Content-Type": "application/json", IDEMPOTENCY_HEADER: message})
