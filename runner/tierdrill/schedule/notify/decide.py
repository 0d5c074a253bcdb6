"""What one channel is told of one notice, given what it was told before. Pure.

The same thing about the same subject is told once in the channel's window. When a drill has recovered, this is told
where its trouble was told, what PagerDuty opened is resolved, and the next trouble is told at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tierdrill.documents.models.channels import Channel, PagerDutyChannel
from tierdrill.schedule.notify.notification import OF_THE_SLOT, TROUBLE, WELL, Notice, wanted

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
