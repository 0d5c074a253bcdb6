"""Overrides: one named rule of a tier, lifted for a while by a role with the right to, and in force until then.

The audit log is where they are kept: what is in force follows from what was granted and revoked, and nothing else.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tierdrill.did_you_mean import did_you_mean, nearest
from tierdrill.documents.models.protections import LIFTABLE, NEVER_LIFTED
from tierdrill.documents.models.tiers import Tiers
from tierdrill.documents.models.units import show_duration
from tierdrill.history.audit_log import AuditEntry, append, entries
from tierdrill.text import Explained, either, listed, utc

SHORTEST_S, LONGEST_S = 1.0, 24 * 3600.0
GRANTED, REVOKED = "override.granted", "override.revoked"


class OverrideRefused(Explained):
    """Nothing was lifted: the rule cannot be, the role has no right to, or it would be for too long."""


@dataclass(frozen=True)
class RuleOverride:
    """A rule of a tier (of that Tiers document) that is lifted until then, as which role, by whom and why.

    `environment` is the one that it was granted for; empty for every one with these tiers. `number` is its entry in the
    audit log. Moments are Unix seconds.
    """

    tiers: str
    tier: str
    rule: str
    role: str
    until: float
    who: str
    why: str
    granted_at: float
    number: int
    environment: str = ""

    def concerns(self, tiers: str, environment: str) -> bool:
        """Whether it is about an environment with that Tiers document. What is not known (empty) may be either."""
        return self.tiers in (tiers or self.tiers) and self.environment in ("", environment or self.environment)

    @property
    def name(self) -> str:
        """`TIER/RULE`."""
        return f"{self.tier}/{self.rule}"

    def plain(self, now: float) -> dict[str, Any]:
        """As plain data, with the seconds that are `left` of it."""
        return {**asdict(self), "left": round(self.until - now, 1)}

    def __str__(self) -> str:
        where = f" in {self.environment}" if self.environment else ""
        return f"{self.rule} of {self.tier}{where} until {utc(self.until)}, by {self.who} as {self.role}: {self.why}"


def grant(
    home: Path, tiers: Tiers, tier: str, rule: str, *,
    seconds: float, role: str, who: str, why: str, environment: str = "",
) -> RuleOverride:  # fmt: skip
    """Lift a rule from now on in that environment (empty: in every one with these tiers), instead of an override of the
    same rule there; OverrideRefused, or AuditError where it cannot be recorded.
    """
    _may(tiers, tier, rule, role, why)
    if not SHORTEST_S <= seconds <= LONGEST_S:
        allowed = f"from {show_duration(SHORTEST_S)} to {show_duration(LONGEST_S)}"
        raise OverrideRefused(f"an override of {show_duration(seconds)}, expected {allowed}; it can be granted again")
    before = _found(home, tiers, tier, rule, environment)
    until = round(time.time() + seconds, 3)
    state = {"tiers": tiers.metadata.name, "tier": tier, "rule": rule, "role": role, "until": until}
    state |= {"environment": environment} if environment else {}
    entry = AuditEntry(who, GRANTED, f"{tier}/{rule}", why, before and {"until": before.until}, state)
    return _read(append(home, entry))


def revoke(
    home: Path, tiers: Tiers, tier: str, rule: str, *, role: str, who: str, why: str, environment: str = ""
) -> RuleOverride:
    """Let the rule hold again where it was lifted for that environment (empty: for all); the override that ended.
    OverrideRefused where there is none in force.
    """
    _may(tiers, tier, rule, role, why)
    before = _found(home, tiers, tier, rule, environment)
    if before is None:
        mine = (tiers.metadata.name, f"{tier}/{rule}")
        others = [one.environment or "every environment" for one in in_force(home) if (one.tiers, one.name) == mine]
        hint = f"; there is one for {listed(others)}" if others else ""
        where = f" in {environment}" if environment else ""
        raise OverrideRefused(f"no override of {rule} of {tier}{where} is in force{hint}")
    state = {"tiers": before.tiers, "tier": tier, "rule": rule, "role": before.role, "until": before.until}
    state |= {"environment": environment} if environment else {}
    append(home, AuditEntry(who, REVOKED, before.name, why, state))
    return before


def in_force(home: Path, at: float | None = None) -> list[RuleOverride]:
    """Every override that lifts a rule at that moment (now, if none is given), the next to end first. What is recorded
    counts now, although its time is rounded up, or the clock was put back since.
    """
    now = time.time() if at is None else at
    found: dict[tuple[str, str, str], RuleOverride] = {}
    for entry in entries(home, "override."):
        state = entry.after if entry.what == GRANTED else entry.before
        if not isinstance(state, dict) or (at is not None and entry.at > at):
            continue
        key = (str(state.get("tiers")), str(state.get("environment", "")), entry.about)
        if entry.what == GRANTED:
            found[key] = _read(entry)
        else:
            found.pop(key, None)
    return sorted((one for one in found.values() if now < one.until), key=lambda one: one.until)


def lifted_in(home: Path, tiers: str, environment: str) -> dict[str, float]:
    """What is lifted in an environment with that Tiers document, `TIER/RULE`, and until when (Unix seconds)."""
    found: dict[str, float] = {}
    for one in in_force(home):
        if one.concerns(tiers, environment):
            found[one.name] = max(one.until, found.get(one.name, 0.0))
    return found


def _found(home: Path, tiers: Tiers, tier: str, rule: str, environment: str) -> RuleOverride | None:
    mine = (tiers.metadata.name, environment, f"{tier}/{rule}")
    return next((one for one in in_force(home) if (one.tiers, one.environment, one.name) == mine), None)


def _read(entry: AuditEntry) -> RuleOverride:
    state = entry.after
    return RuleOverride(
        tiers=state["tiers"], tier=state["tier"], rule=state["rule"], role=state["role"], until=float(state["until"]),
        who=entry.who, why=entry.why, granted_at=entry.at, number=entry.n, environment=state.get("environment", ""),
    )  # fmt: skip


def _may(tiers: Tiers, tier: str, rule: str, role: str, why: str) -> None:
    """OverrideRefused where the rule is none that can be lifted, or the role may not."""
    if not why.strip():
        raise OverrideRefused("an override has a reason")
    if rule in NEVER_LIFTED:
        raise OverrideRefused(f"{rule} is never lifted: {NEVER_LIFTED[rule]}")
    if rule not in LIFTABLE:
        hint = did_you_mean(nearest(rule, LIFTABLE))
        raise OverrideRefused(f"no rule {rule!r} that can be lifted, expected {either(LIFTABLE)}{hint}")
    names = [one.name for one in tiers.tiers]
    if tier not in names:
        hint = did_you_mean(nearest(tier, names))
        raise OverrideRefused(f"no tier {tier!r} in {tiers.metadata.name}, expected {either(names)}{hint}")
    allowed = tiers.by_name(tier).may_override
    if role not in allowed:
        who = f"that has {listed(allowed)}" if allowed else "nobody has it"
        raise OverrideRefused(f"{role} has no right to override a rule of {tier}; {who}")
