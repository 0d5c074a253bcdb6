"""Playbooks run by hand: with the guards, checks and events as when an alert starts one, whatever the automation is."""

import asyncio
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence

from tierdrill.documents.models.playbook import Playbook
from tierdrill.documents.models.tiers import Tiers
from tierdrill.history.events import Event
from tierdrill.history.kinds.response_kinds import PlaybookFinished, PlaybookSkipped
from tierdrill.remediation.escalation import Pager
from tierdrill.remediation.incident_book import AlertNotice, matches
from tierdrill.remediation.playbook_engine import PlaybookEngine
from tierdrill.remediation.substitution import Scope, SubstitutionError, fill
from tierdrill.targets.base import Inventory, RemedyPort, RemedyResult

OUTCOME_WITHIN_S = 60.0
_HOLE = re.compile(r"\\\$\\\{([^}]*)\\\}")


class NoSuchTarget(ValueError):
    """The playbook cannot be run on that; the message says on what it can."""


def labels_for(playbook: Playbook, target: str, inventory: Inventory) -> dict[str, str]:
    """The labels of an alert about that target, read back from how the playbook names its target; NoSuchTarget if it
    does not fit. `${labels.node}/${labels.gpu}` and `node-1/0` give node and gpu."""
    pattern, names = "", []
    for number, part in enumerate(_HOLE.split(re.escape(playbook.target))):
        pattern += part if number % 2 == 0 else "([^/>]+)"
        names += [part.replace("\\", "")] if number % 2 else []
    found = re.fullmatch(pattern, target)
    if found is None:
        raise NoSuchTarget(f"got target {target!r}, expected {playbook.target}, on which {playbook.metadata.name} runs")
    labels = {
        name.removeprefix("labels."): value
        for name, value in zip(names, found.groups(), strict=True)
        if name.startswith("labels.")
    }
    labels.update(playbook.match.labels)
    replica = next((one for one in inventory.replicas if one.name == labels.get("replica")), None)
    if "replica" in labels and replica is None:
        known = ", ".join(one.name for one in inventory.replicas)
        raise NoSuchTarget(f"no replica {labels['replica']!r}, expected one of: {known}")
    if replica is not None:
        labels |= {"node": replica.node or "", "model": replica.model, "tier": replica.tier}
    if "node" in labels and replica is None and labels["node"] not in {one.name for one in inventory.nodes}:
        known = ", ".join(one.name for one in inventory.nodes)
        raise NoSuchTarget(f"no node {labels['node']!r}, expected one of: {known}")
    return labels


class PlaybookHand:
    """Runs playbooks on request, and passes alerts on, so that what was done is given back when they end."""

    def __init__(
        self,
        *,
        port: RemedyPort,
        emit: Callable[[Event], object],
        pager: Pager,
        playbooks: Sequence[Playbook],
        tiers: Tiers,
    ) -> None:
        self._port, self._emit, self._pager, self._tiers = port, emit, pager, tiers
        self.playbooks = {playbook.metadata.name: playbook for playbook in playbooks}
        self._engines: list[PlaybookEngine] = []
        self._firing: dict[str, AlertNotice] = {}
        self._waiting: dict[str, asyncio.Future[RemedyResult]] = {}

    def notify(self, notice: AlertNotice) -> None:
        if notice.status == "firing":
            self._firing[notice.fingerprint] = notice
            return
        self._firing.pop(notice.fingerprint, None)
        for engine in self._engines:
            engine.notify(notice)

    def facts_changed(self) -> None:
        for engine in self._engines:
            engine.facts_changed()

    def target_of(self, playbook: Playbook, notice: AlertNotice) -> str:
        """What the playbook would act on for that alert; "" where the alert does not say."""
        try:
            return fill(playbook.target, Scope(notice.alert, notice.labels))
        except SubstitutionError:
            return ""

    def proposals(self) -> list[tuple[str, str]]:
        """Playbooks whose alert fires now, with their target."""
        return sorted(
            (name, self.target_of(playbook, notice))
            for name, playbook in self.playbooks.items()
            for notice in self._firing.values()
            if matches(playbook.match, notice)
        )

    async def run(self, name: str, target: str, inventory: Inventory) -> RemedyResult:
        """Run it to its end: for the alert about that target if one fires, else as if one did. NoSuchTarget if it does
        not fit."""
        playbook = self.playbooks[name]
        notice = next(
            (
                one
                for one in self._firing.values()
                if matches(playbook.match, one) and self.target_of(playbook, one) == target
            ),
            None,
        ) or AlertNotice(
            alert=playbook.match.alert,
            status="firing",
            labels={"alertname": playbook.match.alert, **labels_for(playbook, target, inventory)},
            fingerprint=secrets.token_hex(8),
            starts_at=time.time(),
        )
        outcome: asyncio.Future[RemedyResult] = asyncio.get_running_loop().create_future()

        def hear(item: Event) -> None:
            self._emit(item)
            if outcome.done():
                return
            match item.payload:
                case PlaybookFinished(playbook=playbook, phase="act", ok=ok, reason=reason) if playbook == name:
                    outcome.set_result(RemedyResult(ok, reason or "done"))
                case PlaybookSkipped(playbook=playbook, reason=reason) if playbook == name:
                    outcome.set_result(RemedyResult(False, reason))

        engine = PlaybookEngine(port=self._port, emit=hear, pager=self._pager, playbooks=[playbook], tiers=self._tiers)
        self._engines.append(engine)
        engine.notify(notice)
        try:
            async with asyncio.timeout(OUTCOME_WITHIN_S):
                return await outcome
        except TimeoutError:
            return RemedyResult(False, f"no end within {OUTCOME_WITHIN_S:g} s")

    def acknowledge(self, dedup_key: str, by: str) -> None:
        for engine in self._engines:
            engine.acknowledge(dedup_key, by)

    async def close(self) -> None:
        """End what runs; what was done until an alert ends is given back."""
        await asyncio.gather(*(engine.stop() for engine in self._engines), return_exceptions=True)


def known_playbook(playbooks: Mapping[str, Playbook], name: str) -> Playbook:
    """The playbook of that name; NoSuchTarget lists them."""
    if name not in playbooks:
        raise NoSuchTarget(f"no playbook {name!r}, expected one of: {', '.join(sorted(playbooks))}")
    return playbooks[name]
