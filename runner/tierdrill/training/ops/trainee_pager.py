"""The trainee's pager: a page for every alert that pages or opens a ticket, up the ladder of the tier that it hurts.

The pages go over the pager's own protocol, so those of the playbook engine and ours are in one list. What several
alerts tell within a moment is sent in tier order: rank 1 rings first.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from tierdrill.documents.models.tiers import Tiers
from tierdrill.history.events import Event, event
from tierdrill.history.kinds import response_kinds
from tierdrill.monitoring.pagerduty import Page, PagerStub
from tierdrill.remediation.engine_journal import Journal
from tierdrill.remediation.escalation import Ladder, Pager
from tierdrill.remediation.incident_book import AlertNotice
from tierdrill.targets.base import Inventory
from tierdrill.training.ops.tier_rules import alert_target, tier_of_alert

GATHER_S = 0.4
PAGING = frozenset({"page", "ticket"})
SOURCE = "pager"


class NoSuchPage(LookupError):
    """No page of that name; the message says which there are."""


@dataclass(frozen=True)
class Call:
    key: str
    tier: str
    rank: int
    summary: str


def urgent_first(calls: list[Call]) -> list[Call]:
    """In the order they must ring: the most important tier first, else as they came."""
    return sorted(calls, key=lambda call: call.rank)


class PageBook:
    """All pages of an exercise. The ladders are those of `tiers`, in the time that `sleep` measures."""

    def __init__(
        self,
        *,
        tiers: Tiers,
        stub: PagerStub,
        pager: Pager,
        emit: Callable[[Event], object],
        inventory: Callable[[], Inventory],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._sleep = sleep
        self._tiers, self._stub, self._pager, self._emit = tiers, stub, pager, emit
        self._inventory = inventory
        self._ladders: dict[str, Ladder] = {}
        self._tier_of: dict[str, str] = {}
        self._waiting: list[Call] = []
        self._firing: dict[str, set[str]] = {}
        self._woken: set[str] = set()
        # How far up a page was told beside its ladder, whose climb an acknowledgement had ended.
        self._beside: dict[Ladder, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._gathering: asyncio.Task[None] | None = None

    def notify(self, notice: AlertNotice) -> None:
        """An alert fired or resolved; never blocks."""
        if notice.labels.get("severity") not in PAGING:
            return
        key = f"{notice.alert}/{alert_target(notice.labels) or 'platform'}"
        firing = self._firing.setdefault(key, set())
        if notice.status == "firing":
            firing.add(notice.fingerprint)
            if key not in self._ladders:
                tier = tier_of_alert(notice.labels, self._inventory(), self._tiers)
                self.call(key, tier, notice.annotations.get("summary") or notice.alert)
            return
        firing.discard(notice.fingerprint)
        if not firing and (ladder := self._ladders.pop(key, None)) is not None:
            self._spawn(self._resolved(ladder, response_kinds.ALERT))

    def call(self, key: str, tier: str, summary: str) -> None:
        """Page somebody: an alert, or a page that the scenario or the facilitator makes up."""
        self._waiting.append(Call(key, tier, self._tiers.by_name(tier).rank, summary))
        if self._gathering is None or self._gathering.done():
            self._gathering = self._spawn(self._send_gathered())

    async def _send_gathered(self) -> None:
        await asyncio.sleep(GATHER_S)
        waiting, self._waiting = self._waiting, []
        for call in urgent_first(waiting):
            if call.key in self._ladders:
                continue
            ladder = Ladder(
                pager=self._page,
                journal=Journal(self._emit, time.time),
                levels=self._tiers.by_name(call.tier).escalation,
                tier=call.tier,
                dedup_key=call.key,
                summary=call.summary,
                sleep=self._sleep,
            )
            self._ladders[call.key], self._tier_of[call.key] = ladder, call.tier
            self._spawn(ladder.climb())
            # The next one rings after this one has: what comes first is what the trainee sees first.
            await ladder.rung.wait()

    async def _page(self, contact: str, level: int, tier: str, dedup_key: str, action: str, summary: str) -> None:
        await self._pager(contact, level, tier, dedup_key, action, summary)
        by_hand = dedup_key in self._woken
        self._woken.discard(dedup_key)
        if action == "trigger" and level > 1 and not by_hand:
            self._note(response_kinds.PageEscalated, dedup_key, by=response_kinds.NOBODY, level=level, contact=contact)

    async def _resolved(self, ladder: Ladder, by: str) -> None:
        level = ladder.level
        await ladder.tell_resolved()
        self._note(response_kinds.PageResolved, ladder.dedup_key, by=by, level=level)

    def acknowledged(self, key: str, by: str) -> bool:
        """The pager says that somebody took it; False if it is none of ours."""
        ladder = self._ladders.get(key)
        if ladder is None:
            return False
        ladder.stop()
        self._note(response_kinds.PageAcknowledged, key, by=by, level=ladder.level)
        return True

    def acknowledge(self, name: str, by: str) -> Page:
        """Take a page; NoSuchPage, or ValueError where it cannot be taken."""
        page = self.find(name)
        if page.state == "resolved":
            raise ValueError(f"{self.name_of(page)} is already resolved")
        if page.state == "acknowledged":
            raise ValueError(f"{self.name_of(page)} was already acknowledged by {page.acknowledged_by}")
        self._stub.acknowledge(page.dedup_key, by)
        return self.find(name)

    def escalate(self, name: str, by: str) -> tuple[Page, str]:
        """Wake the next level now: the page, and whom; ValueError where there is nobody left to wake."""
        page = self.find(name)
        ladder = self._ladders.get(page.dedup_key)
        if ladder is None or page.state == "resolved":
            raise ValueError(f"{self.name_of(page)} has no further escalation level")
        levels = self._tiers.by_name(self._tier_of[page.dedup_key]).escalation
        reached = max(ladder.level, self._beside.get(ladder, 0))
        if reached >= len(levels):
            raise ValueError(f"{self.name_of(page)} is already at the last level ({levels[-1].contact})")
        contact = levels[reached].contact
        self._note(response_kinds.PageEscalated, page.dedup_key, by=by, level=reached + 1, contact=contact)
        if page.state == "acknowledged":
            # Its climb has ended with the acknowledgement: the next level is told beside it.
            self._beside[ladder] = reached + 1
            self._spawn(self._tell_beside(page, reached + 1, contact))
        else:
            self._woken.add(page.dedup_key)
            ladder.advance()
        return page, contact

    async def _tell_beside(self, page: Page, level: int, contact: str) -> None:
        tier = self._tier_of[page.dedup_key]
        await self._pager(contact, level, tier, page.dedup_key, "trigger", page.summary)
        self._emit(
            event(
                response_kinds.PageSent(
                    contact=contact,
                    level=level,
                    tier=tier,
                    dedup_key=page.dedup_key,
                    action="trigger",
                    summary=page.summary,
                ),
                SOURCE,
            )
        )

    def resolve(self, name: str, by: str) -> tuple[Page, bool]:
        """Close a page by hand: the page, and whether its alert still fires; ValueError if it is closed already."""
        page = self.find(name)
        if not self._stub.resolve(page.dedup_key):
            raise ValueError(f"{self.name_of(page)} is already resolved")
        ladder = self._ladders.pop(page.dedup_key, None)
        level = ladder.level if ladder is not None else 1
        if ladder is not None:
            ladder.stop()
        self._note(response_kinds.PageResolved, page.dedup_key, by=by, level=level)
        return page, bool(self._firing.get(page.dedup_key))

    def find(self, name: str) -> Page:
        """The page called P1, or by its key, or by what its key begins with where only one does."""
        pages = self._stub.pages
        named = {f"P{number}": page for number, page in enumerate(pages, start=1)}
        if (found := named.get(name.upper())) is not None:
            return found
        if name.isdecimal() and f"P{name}" in named:
            return named[f"P{name}"]
        like = [page for page in pages if page.dedup_key == name] or [
            page for page in pages if page.dedup_key.startswith(name)
        ]
        if len(like) == 1:
            return like[0]
        raise NoSuchPage(f"no page {name!r}, expected one of: {', '.join(named) or 'none'}")

    def name_of(self, page: Page) -> str:
        """P1, P2, ... in the order they first rang."""
        keys = [(one.routing_key, one.dedup_key) for one in self._stub.pages]
        return f"P{keys.index((page.routing_key, page.dedup_key)) + 1}"

    @property
    def unresolved(self) -> list[Page]:
        return [page for page in self._stub.pages if page.state != "resolved"]

    def to_json(self) -> list[dict[str, Any]]:
        """Every page, open ones first, those of the most important tier first among them."""
        ranks = {tier.name: tier.rank for tier in self._tiers.tiers}
        rows = [
            {
                "id": self.name_of(page),
                "key": page.dedup_key,
                "state": page.state,
                "tier": page.details.get("tier", ""),
                "level": page.details.get("level", 1),
                "contact": page.details.get("contact", ""),
                "summary": page.summary,
                "triggered_at": page.triggered_at,
                "acknowledged_at": page.acknowledged_at,
                "acknowledged_by": page.acknowledged_by,
                "resolved_at": page.resolved_at,
            }
            for page in self._stub.pages
        ]
        return sorted(rows, key=lambda row: (row["state"] == "resolved", ranks.get(str(row["tier"]), 999)))

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _note(self, kind: Callable[..., response_kinds.PageEvent], key: str, **data: Any) -> None:
        self._emit(event(kind(dedup_key=key, tier=self._tier_of.get(key, ""), **data), SOURCE))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
