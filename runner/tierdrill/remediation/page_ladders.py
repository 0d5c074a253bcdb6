"""Which ladders are being climbed, for which incident; one at a time for one playbook on one target."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from tierdrill.documents.models.tiers import EscalationLevel, Tiers
from tierdrill.remediation.course import Course
from tierdrill.remediation.engine_journal import Journal
from tierdrill.remediation.escalation import Ladder, Pager
from tierdrill.remediation.incident_book import Incident

Work = Coroutine[Any, Any, None]


class Pages:
    """Opens and closes ladders. What takes time is handed back as work: the engine keeps track of tasks."""

    def __init__(self, pager: Pager, journal: Journal, tiers: Tiers) -> None:
        self._pager = pager
        self._journal = journal
        self._tiers = tiers
        self._ladders: dict[str, tuple[Ladder, Incident]] = {}

    def escalate(self, course: Course, reason: str) -> Work | None:
        """Call for a human; None if the playbook names nobody, or somebody is being called about this already."""
        escalation = course.bound.playbook.escalation
        if escalation is None or course.page_key in self._ladders:
            return None
        levels: tuple[EscalationLevel, ...] = ()
        try:
            levels = self._tiers.by_name(escalation.tier).escalation
        except KeyError:
            reason = f"{reason}; tier {escalation.tier} is not in the tiers document, so nobody can be paged"
        self._journal.write("playbook.escalated", **course.identity(), reason=reason, tier=escalation.tier)
        ladder = Ladder(
            pager=self._pager,
            journal=self._journal,
            levels=levels,
            tier=escalation.tier,
            dedup_key=course.page_key,
            summary=f"{course.bound.summary or f'{course.name} on {course.bound.target}'}: {reason}",
        )
        self._ladders[course.page_key] = (ladder, course.incident)
        return self._climb(ladder, course.incident)

    async def _climb(self, ladder: Ladder, incident: Incident) -> None:
        await ladder.climb()
        if not incident.firing and self._ladders.get(ladder.dedup_key, (None,))[0] is ladder:
            # Its end has been told already, so nobody else would make room for the next page about this target.
            del self._ladders[ladder.dedup_key]

    def acknowledge(self, dedup_key: str, by: str) -> bool:
        """Somebody has taken it. False if there is no such page."""
        if dedup_key not in self._ladders:
            return False
        self._journal.write("page.acknowledged", dedup_key=dedup_key, by=by)
        self._ladders[dedup_key][0].stop()
        return True

    def resolved(self, incident: Incident) -> list[Work]:
        """The incident is over: stop its ladders and tell those who were paged."""
        over = [key for key, (_, of) in self._ladders.items() if of is incident]
        return [self._ladders.pop(key)[0].tell_resolved() for key in over]
