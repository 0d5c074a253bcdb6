"""What is told, whom it concerns, what each channel is told of it, and when it is tried again. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, get_args

from tierdrill.documents.models.channels import Channel, NoticeKind, PagerDutyChannel
from tierdrill.judge.verdict import Check, Status, Verdict
from tierdrill.process.identity import ProcessId, me

KINDS: tuple[str, ...] = get_args(NoticeKind)
WELL = ("passed", "recovered")
TROUBLE = ("failed", "inconclusive", "aborted", "unclean", "missed", "regression")
"""Kinds that are over when the drill has passed again, which is then told where the trouble was told."""
OF_THE_SLOT = ("held", "missed")
"""Kinds that are about a slot of the calendar and over as soon as its drill has run at all."""
DETAILS_MAX = 8


@dataclass(frozen=True)
class Notice:
    """One thing to tell.

    `at` is when it happened (Unix seconds), `status` the verdict if there is one, `reason` why, in a few words, and
    `summary` the one line about it. `details` are further lines, such as the checks that failed. `rank` is that of the
    most important tier that the drill judges, None where nobody knows. `report` is the path of the report. `key` says
    what it is about; notices of one kind with one key are the same thing again. The usual key is made of calendar,
    entry and drill, and of the figure for a regression.
    """

    kind: NoticeKind
    calendar: str
    entry: str
    drill: str = ""
    run: str = ""
    status: str = ""
    reason: str = ""
    summary: str = ""
    at: float = 0.0
    key: str = ""
    report: str = ""
    owner: str = ""
    rank: int | None = None
    details: tuple[str, ...] = ()
    test: bool = False

    @property
    def subject(self) -> str:
        """The key given, or the usual one."""
        if self.key:
            return self.key
        parts = [self.calendar, self.entry, self.drill, self.kind if self.kind in ("regression", "rollout") else ""]
        return "/".join(part for part in parts if part)

    @property
    def slot(self) -> str:
        """The key of what is told about the entry's slots, whichever drill they run."""
        return f"{self.calendar}/{self.entry}"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> Notice:
        """Back from `to_json`; unknown fields, of a later version, are left out."""
        known = {field.name for field in fields(Notice)}
        plain = {name: value for name, value in data.items() if name in known}
        return Notice(**{**plain, "details": tuple(plain.get("details", ()))})


def wanted(channel: Channel, notice: Notice, kind: str | None = None) -> bool:
    """Does the channel want a notice of this kind (the notice's own where none is given) about this drill?

    A drill whose rank nobody knows is told everywhere: better once too often than never.
    """
    if (kind or notice.kind) not in channel.on:
        return False
    if channel.rank_at_most is not None and notice.rank is not None and notice.rank > channel.rank_at_most:
        return False
    return not channel.owners or notice.owner in channel.owners


def notice_of_verdict(
    verdict: Verdict, *, calendar: str, entry: str, owner: str, at: float, report: str = "", rank: int | None = None
) -> Notice:
    """What a run came to, with the checks that decided it."""
    deciding = [check for each in verdict.reasons if (check := verdict.check(each)) is not None]
    return Notice(
        kind=_KIND_OF[verdict.status],
        calendar=calendar,
        entry=entry,
        drill=verdict.drill,
        run=verdict.run,
        status=verdict.status.value,
        reason=", ".join(verdict.reasons[:3]) + (f" and {len(verdict.reasons) - 3} more" * (len(verdict.reasons) > 3)),
        summary=verdict.summary,
        at=at,
        report=report,
        owner=owner,
        rank=rank,
        details=_lines(deciding),
    )


_KIND_OF: dict[Status, NoticeKind] = {
    Status.PASSED: "passed",
    Status.FAILED: "failed",
    Status.INCONCLUSIVE: "inconclusive",
    Status.ABORTED: "aborted",
    Status.UNCLEAN: "unclean",
}


def _lines(checks: Sequence[Check]) -> tuple[str, ...]:
    told = [f"{check.id}: expected {check.expected}; seen {check.seen}" for check in checks[:DETAILS_MAX]]
    more = len(checks) - DETAILS_MAX
    return (*told, f"and {more} more") if more > 0 else tuple(told)


TELL, RESOLVE = "tell", "resolve"
UNSEEN_HOLDS_FOR_S = 600.0
"""How long a courier in another PID namespace, of which nobody can say whether it lives, has a message in hand."""


@dataclass(frozen=True)
class Message:
    """A notice on its way to one channel. `id` stays the same over all attempts; `action` is "tell" or "resolve".

    `subject` is the key under which it was told; `repeated` is how often the same came without being told.
    """

    id: str
    notice: Notice
    subject: str
    action: str = TELL
    repeated: int = 0


def own_holder() -> str:
    """This process, as the outbox writes down who has a message in hand."""
    this = me()
    return f"{this.pid} {this.ticks} {this.boot} {this.space}"


def still_holds(holder: str, held_for_s: float) -> bool:
    """Does whoever took a message so long ago still have it in hand, or has it died?"""
    words = holder.split(" ")
    try:
        process = ProcessId(int(words[0]), int(words[1]), words[2], words[3])
    except (ValueError, IndexError):
        return False
    return process.lives() if process.visible() else 0 <= held_for_s < UNSEEN_HOLDS_FOR_S


OF_A_RUN = ("passed", "failed", "inconclusive", "aborted", "unclean")


@dataclass(frozen=True)
class Told:
    """What a channel was last told: the subject, the kind, when (Unix seconds), and how often it came since."""

    subject: str
    kind: str
    at: float
    held_back: int = 0


@dataclass(frozen=True)
class Decision:
    """`tell` is the kind to tell it as, None for nothing; `resolve` are subjects whose incidents are over; `over` is
    what counts as told no longer; `hold_back` says that the same was told within the window.
    """

    tell: str | None = None
    repeated: int = 0
    hold_back: bool = False
    resolve: tuple[str, ...] = ()
    over: tuple[Told, ...] = ()


def decide(channel: Channel, notice: Notice, told: Sequence[Told], now: float) -> Decision:
    """What to do; `told` is all that this channel was told of this entry."""
    mine = [row for row in told if row.subject == notice.subject]
    over = [row for row in told if row.subject == notice.slot and row.kind in OF_THE_SLOT]
    over = over if notice.kind in OF_A_RUN else []
    well = notice.kind in WELL
    if well:
        over += [row for row in mine if row.kind not in WELL and row not in over]
    elif notice.kind in TROUBLE:
        over += [row for row in mine if row.kind in WELL]
    kind = _told_as(channel, notice, over) if well else notice.kind if wanted(channel, notice) else None
    paged = isinstance(channel, PagerDutyChannel)
    resolve = tuple(dict.fromkeys(row.subject for row in over if row.kind not in WELL)) if paged else ()
    if well and paged:
        kind = None
    # An incident stays open while this notice, or another that is not over, speaks of it.
    still = {row.subject for row in told if row.kind not in WELL and row not in over}
    still |= {notice.subject} if kind is not None else set()
    resolve = tuple(subject for subject in resolve if subject not in still)
    before = next((row for row in mine if row.kind == kind and row not in over), None)
    if kind is not None and before is not None and abs(now - before.at) < channel.once_within:
        return Decision(hold_back=True, resolve=resolve, over=tuple(over))
    return Decision(
        tell=kind, repeated=before.held_back if before is not None else 0, resolve=resolve, over=tuple(over)
    )


def _told_as(channel: Channel, notice: Notice, over: Sequence[Told]) -> str | None:
    """A drill that passes is told as recovered where its trouble was told, and nowhere else."""
    trouble = any(row.kind in TROUBLE for row in over)
    if trouble and wanted(channel, notice, "recovered"):
        return "recovered"
    return notice.kind if notice.kind != "recovered" and wanted(channel, notice) else None


FIRST_WAIT_S = 2.0
LONGEST_WAIT_S = 900.0
RETRY_AFTER_MAX_S = 3600.0
ATTEMPTS_MAX = 200
"""A bound of last resort: `give_up_after` usually comes first."""
AGAIN = frozenset({408, 423, 425, 429})
"""Refusals of HTTP that may pass; of the others, those from 500 on do as well."""


@dataclass(frozen=True)
class Answer:
    """What came of one attempt. `seen` is for people and holds no secret; `wait_s` is what the other side asked for."""

    ok: bool
    seen: str
    again: bool = False
    wait_s: float | None = None


def wait_before(attempts: int, chance: float, asked_s: float | None = None) -> float:
    """Seconds to wait after so many failed attempts (from 1): doubled each time, between half and all of it by
    `chance` (0 to 1), so that messages held up together do not come back together; never less than was asked for.
    """
    whole = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(attempts - 1, 30))
    wait = whole * (0.5 + 0.5 * chance)
    return max(wait, min(asked_s, RETRY_AFTER_MAX_S)) if asked_s is not None else wait


def given_up(attempts: int, age_s: float, give_up_after_s: float) -> bool:
    """Is it time to stop trying?"""
    return age_s >= give_up_after_s or attempts >= ATTEMPTS_MAX


def may_pass(status: int) -> bool:
    """May a request answered with this HTTP status succeed later?"""
    return status >= 500 or status in AGAIN


def retry_after(header: str | None, now: float) -> float | None:
    """Seconds asked for by a Retry-After header, a number or a date (RFC 9110, 10.2.3); None if it says neither."""
    if header is None:
        return None
    if header.strip().isascii() and header.strip().isdigit():
        return float(header.strip()[:9])
    try:
        when = parsedate_to_datetime(header)
        return max(0.0, (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None
