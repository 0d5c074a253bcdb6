"""What differs between two tier documents, field by field, and which differences make a promise weaker. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tierdrill.documents.models.tiers import Tier, Tiers
from tierdrill.documents.models.units import show_duration, show_ratio
from tierdrill.documents.models.workloads import Workloads
from tierdrill.text import listed

Weaker = Callable[[Any, Any], bool]


def _lower(before: Any, after: Any) -> bool:
    return before is not None and (after is None or after < before)


def _higher(before: Any, after: Any) -> bool:
    return before is not None and (after is None or after > before)


def _fewer(before: Any, after: Any) -> bool:
    return not set(before or ()) <= set(after or ())


def _wider(before: Any, after: Any) -> bool:
    return bool(before) and "any" not in before and (not after or not set(after) <= set(before))


def _no_longer(before: Any, after: Any) -> bool:
    return bool(before) and not after


WEAKER: Mapping[str, Weaker] = {
    "rank": _higher,
    "objectives.availability": _lower,
    "objectives.error_ceiling": _higher,
    "objectives.latency": _higher,
    "objectives.time_to_first_token": _higher,
    "objectives.queue_wait": _higher,
    "objectives.stall": _higher,
    "objectives.time_to_detect": _higher,
    "objectives.time_to_mitigate": _higher,
    "objectives.time_to_recover": _higher,
    "objectives.mttr": _higher,
    "objectives.integrity": _lower,
    "objectives.fallback_at_most": lambda before, after: (after or 0.0) > (before or 0.0),
    "objectives.rejections_count": _no_longer,
    "objectives.worst_window.availability": _lower,
    "reserved_slots": _lower,
    "may_preempt": _fewer,
    "shed_order": _lower,
    "data_residency": _wider,
}
"""When a change of a field makes what a tier promises, or what keeps it, weaker. Of a field with quantiles, each."""
RATIOS = ("availability", "error_ceiling", "integrity", "fallback_at_most", "typical", "ratio")


@dataclass(frozen=True)
class Change:
    """One field of a tier (or a route, or a model) that differs; None where it is not there."""

    about: str
    field: str
    before: Any
    after: Any
    weaker: bool = False
    rank: int | None = None
    approved_by: str | None = None

    def __str__(self) -> str:
        where = f"{self.about} {self.field}".strip()
        told = f"{where}: {_shown(self.field, self.before)} -> {_shown(self.field, self.after)}"
        if not self.weaker:
            return told
        approved = f", approved by {self.approved_by}" if self.approved_by else ", not approved"
        return f"{told} (weaker{approved if self.rank == 1 else ''})"


def _shown(field: str, value: Any) -> str:
    last = next((part for part in reversed(field.split(".")) if not part.startswith("p")), "")
    if value is None:
        return "nothing"
    if isinstance(value, list | tuple):
        return listed(map(str, value))
    if isinstance(value, float):
        return show_ratio(value) if last in RATIOS else show_duration(value)
    return str(value)


def tier_changes(old: Tiers, new: Tiers) -> list[Change]:
    """Every field of every tier that differs, most important tier first; a tier that is gone has lost all."""
    approved = [one for one in new.approvals if one not in old.approvals]
    after = {tier.name: tier for tier in new.tiers}
    before = {tier.name: tier for tier in old.tiers}
    found = []
    for name in [*(tier.name for tier in old.by_rank()), *(one for one in after if one not in before)]:
        if name not in after:
            found.append(Change(name, "", "a tier", None, weaker=True, rank=before[name].rank))
            continue
        if name not in before:
            found.append(Change(name, "", None, f"a tier of rank {after[name].rank}"))
            continue
        was, now = _flat(before[name]), _flat(after[name])
        for field in sorted(was.keys() | now.keys()):
            if was.get(field) == now.get(field):
                continue
            weaker = _is_weaker(field, was.get(field), now.get(field))
            by = next((one.by for one in approved if one.tier == name and _names(one.fields, field)), None)
            found.append(Change(name, field, was.get(field), now.get(field), weaker, before[name].rank, by))
    return found


def _names(fields: tuple[str, ...], field: str) -> bool:
    return any(field == one or field.startswith(f"{one}.") for one in fields)


def _is_weaker(field: str, before: Any, after: Any) -> bool:
    rule = WEAKER.get(field) or WEAKER.get(field.rpartition(".")[0])
    return rule is not None and rule(before, after)


def _flat(tier: Tier) -> dict[str, Any]:
    def walk(value: Any, path: str) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, f"{path}.{key}" if path else key)
        elif value is not None:
            found[path] = value

    found: dict[str, Any] = {}
    walk(tier.model_dump(), "")
    return found


def workload_changes(old: Workloads, new: Workloads) -> list[Change]:
    """Routes by their place, and models by their name, that differ."""
    found = []
    was = [route.model_dump(exclude_none=True) for route in old.routes]
    now = [route.model_dump(exclude_none=True) for route in new.routes]
    for number in range(max(len(was), len(now))):
        before, after = (one[number] if number < len(one) else None for one in (was, now))
        if before != after:
            found.append(Change(f"route {number + 1}", "", _said(before), _said(after)))
    names = [model.name for model in old.models]
    for name in [*names, *(model.name for model in new.models if model.name not in names)]:
        first, second = old.model(name), new.model(name)
        left = first.model_dump() if first is not None else {}
        right = second.model_dump() if second is not None else {}
        found += [
            Change(name, field, _said(left.get(field)), _said(right.get(field)))
            for field in (left or right)
            if left.get(field) != right.get(field)
        ]
    return found


def _said(value: Any) -> Any:
    return ", ".join(f"{key}: {inner}" for key, inner in value.items()) if isinstance(value, dict) else value
