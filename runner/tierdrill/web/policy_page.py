"""The page "policy": what is promised to whom, who may decide, what breaks the policy's rules, and who did what."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.responses import Response

from tierdrill.documents.catalogue_reader import read_catalogue
from tierdrill.documents.models.tiers import QUANTILE_OBJECTIVES, Tier
from tierdrill.documents.models.units import show_duration, show_ratio
from tierdrill.documents.request_rules import RequestFacts
from tierdrill.history.audit_log import AuditEntry, entries, verify
from tierdrill.report.format import ASPECT_WORDS
from tierdrill.tier_policy.lint import Finding, lint
from tierdrill.tier_policy.route_tests import Decision, decide
from tierdrill.tier_policy.tier_set import tier_sets
from tierdrill.web.page_answers import Ask
from tierdrill.web.run_followers import overrides_of

if TYPE_CHECKING:
    from tierdrill.documents.catalogue import Catalogue

ENTRIES_SHOWN = 50
SHARES = {"availability": "≥", "error_ceiling": "≤", "integrity": "≥", "fallback_at_most": "≤"}
TIMES = ("time_to_detect", "time_to_mitigate", "time_to_recover")


REFUSALS = {
    "no-such-model": "there is no model of that name",
    "prompt-too-long": "the prompt is longer than the model reads",
    "answer-too-long": "the answer may be longer than the model writes",
    "residency": "its data may not come to the region",
}


async def policy_page(ask: Ask) -> Response:
    documents = await ask.dashboard.documents()
    home, today = ask.dashboard.options.home, datetime.now(UTC).date()
    findings = await asyncio.to_thread(_findings, documents.catalogue.root, today)
    log, check = await asyncio.to_thread(lambda: (latest(entries(home)), verify(home)))
    return await ask.html(
        "policy.html",
        catalogue=documents.catalogue,
        promises=promises_of,
        today=today,
        findings=findings,
        routed=routed(documents.catalogue, ask.request.query_params),
        refusals=REFUSALS,
        overrides=await asyncio.to_thread(overrides_of, home),
        log=log,
        check=check,
        problems=documents.problems,
    )


def _findings(root: Path, today: date) -> list[Finding]:
    return lint(tier_sets(read_catalogue(root), today))


def latest(log: Iterable[AuditEntry]) -> list[AuditEntry]:
    """The newest entries first."""
    return list(reversed(deque(log, ENTRIES_SHOWN)))


def promises_of(tier: Tier) -> list[str]:
    """What a tier promises, each in a few words."""
    objectives, found = tier.objectives, []
    for name, sign in SHARES.items():
        if (share := getattr(objectives, name)) is not None:
            found.append(f"{ASPECT_WORDS.get(name, name.replace('_', ' '))} {sign} {show_ratio(share)}")
    for name in QUANTILE_OBJECTIVES:
        for quantile, limit in getattr(objectives, name).items():
            found.append(f"{quantile} {ASPECT_WORDS[name]} ≤ {show_duration(limit)}")
    times = [(name, getattr(objectives, name)) for name in TIMES]
    return [
        *found,
        *(f"{name.replace('_', ' ')} ≤ {show_duration(limit)}" for name, limit in times if limit is not None),
    ]


def routed(catalogue: Catalogue, asked: Mapping[str, str]) -> list[tuple[str, RequestFacts, Decision]] | None:
    """What becomes of the request that was asked about, by each Workloads document; None where none was asked about."""
    if "model" not in asked:
        return None
    try:
        prompt, answer = int(asked.get("prompt") or "0"), int(asked.get("max") or "0")
    except ValueError:
        prompt, answer = 0, 0
    facts = RequestFacts(asked["model"].strip(), asked.get("class", "").strip() or None, prompt, answer)
    return [
        (name, facts, decide(catalogue.tiers[workloads.tiers], workloads, facts))
        for name, workloads in sorted(catalogue.workloads.items())
    ]
