"""What is told: one notice, whom it concerns, and by which key it is known as the same thing again. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, get_args

from tierdrill.documents.models.channels import Channel, NoticeKind
from tierdrill.judge.verdict import Check, Status, Verdict

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
        """Plain data."""
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
