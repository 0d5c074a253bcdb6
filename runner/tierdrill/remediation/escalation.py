"""The way to a human: page level after level of a tier's ladder until somebody acknowledges or the alert resolves."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from tierdrill.documents.models.tiers import EscalationLevel, Tiers
from tierdrill.history.kinds.response_kinds import PageAcknowledged, PageFailed, PageSent, PlaybookEscalated
from tierdrill.remediation.engine_journal import Journal
from tierdrill.remediation.execution import Execution
from tierdrill.remediation.incident_book import Incident

PAGE_TIMEOUT_S = 5.0
SUMMARY_MAX = 1024

Pager = Callable[[str, int, str, str, str, str], Awaitable[object]]
"""async (contact, level, tier, dedup_key, action, summary); action is PagerDuty's: trigger or resolve. Raises if it
could not be sent.
"""


class Ladder:
    """One climb. `dedup_key` makes every page of it one incident in the pager; `sleep` measures the waiting."""

    def __init__(
        self,
        *,
        pager: Pager,
        journal: Journal,
        levels: Sequence[EscalationLevel],
        tier: str,
        dedup_key: str,
        summary: str,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._sleep = sleep
        self._pager = pager
        self._journal = journal
        self._levels = levels
        self._tier = tier
        self._summary = summary[:SUMMARY_MAX]
        self._over = asyncio.Event()
        self._ended = asyncio.Event()
        self._next = asyncio.Event()
        self.rung = asyncio.Event()
        """Set once the first level was paged, or could not be."""
        self._paged: list[tuple[str, int]] = []
        self.dedup_key = dedup_key

    def stop(self) -> None:
        """Acknowledged, or the alert resolved: nobody further up is woken."""
        self._over.set()

    def advance(self) -> None:
        """Page the next level now, without waiting for this one any longer."""
        self._next.set()

    @property
    def level(self) -> int:
        """The level that was paged last, from 1; 0 before the first."""
        return self._paged[-1][1] if self._paged else 0

    async def climb(self) -> None:
        """Page each level and wait for its acknowledgement. One that cannot be reached is passed over at once."""
        try:
            for number, level in enumerate(self._levels, start=1):
                if self._over.is_set():
                    break
                sent = await self._page(level.contact, number, "trigger")
                self.rung.set()
                if sent:
                    self._paged.append((level.contact, number))
                    self._next.clear()
                    await self._wait(level.acknowledge_within)
        finally:
            self.rung.set()
            self._ended.set()

    async def _wait(self, seconds: float) -> None:
        waiting = [
            asyncio.ensure_future(each) for each in (self._over.wait(), self._next.wait(), self._sleep(seconds))
        ]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()

    async def tell_resolved(self) -> None:
        """Tell those who were paged that it is over; the climb is stopped first, so that no page comes after this."""
        self.stop()
        await self._ended.wait()
        for contact, number in self._paged:
            await self._page(contact, number, "resolve")
        self._paged.clear()

    async def _page(self, contact: str, level: int, action: str) -> bool:
        page: dict[str, Any] = {"contact": contact, "level": level, "action": action}
        page |= {"tier": self._tier, "dedup_key": self.dedup_key}
        try:
            async with asyncio.timeout(PAGE_TIMEOUT_S):
                await self._pager(contact, level, self._tier, self.dedup_key, action, self._summary)
        except Exception as error:
            self._journal.write(PageFailed(**page, error=str(error) or type(error).__name__))
            return False
        self._journal.write(PageSent(**page, summary=self._summary))
        return True


Work = Coroutine[Any, Any, None]


class Pages:
    """Which ladders are being climbed, for which incident; one at a time for one playbook on one target.

    What takes time is handed back as work: the engine keeps track of tasks.
    """

    def __init__(self, pager: Pager, journal: Journal, tiers: Tiers) -> None:
        self._pager = pager
        self._journal = journal
        self._tiers = tiers
        self._ladders: dict[str, tuple[Ladder, Incident]] = {}

    def escalate(self, execution: Execution, reason: str) -> Work | None:
        """Call for a human; None if the playbook names nobody, or somebody is being called about this already."""
        escalation = execution.bound.playbook.escalation
        if escalation is None or execution.page_key in self._ladders:
            return None
        levels: tuple[EscalationLevel, ...] = ()
        try:
            levels = self._tiers.by_name(escalation.tier).escalation
        except KeyError:
            reason = f"{reason}; tier {escalation.tier} is not in the tiers document, so no one can be paged"
        self._journal.write(PlaybookEscalated(**execution.identity(), reason=reason, tier=escalation.tier))
        ladder = Ladder(
            pager=self._pager,
            journal=self._journal,
            levels=levels,
            tier=escalation.tier,
            dedup_key=execution.page_key,
            summary=f"{execution.bound.summary or f'{execution.name} on {execution.bound.target}'}: {reason}",
        )
        self._ladders[execution.page_key] = (ladder, execution.incident)
        return self._climb(ladder, execution.incident)

    async def _climb(self, ladder: Ladder, incident: Incident) -> None:
        await ladder.climb()
        if not incident.firing and self._ladders.get(ladder.dedup_key, (None,))[0] is ladder:
            # Its end has been told already, so nobody else would make room for the next page about this target.
            del self._ladders[ladder.dedup_key]

    def acknowledge(self, dedup_key: str, by: str) -> bool:
        """Somebody has taken it. False if there is no such page."""
        if dedup_key not in self._ladders:
            return False
        self._journal.write(PageAcknowledged(dedup_key=dedup_key, by=by))
        self._ladders[dedup_key][0].stop()
        return True

    def resolved(self, incident: Incident) -> list[Work]:
        """The incident is over: stop its ladders and tell those who were paged."""
        over = [key for key, (_, of) in self._ladders.items() if of is incident]
        return [self._ladders.pop(key)[0].tell_resolved() for key in over]
