"""The order of refusals: no tier is turned away while the same model serves a less important one at that gateway.

Rank 1 has a rule of its own (`tier-order`). A gateway that lets a less important request in while a more important one
waits, or between two that it turns away for want of capacity, has turned its order round. One moment proves nothing:
between two requests the queue may have emptied.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import pairwise

from tierdrill.documents.models.tiers import Tiers
from tierdrill.documents.sample_size import BAD_AT_LEAST
from tierdrill.judge.sample_columns import CHOICE_REASONS, UNEXPLAINED
from tierdrill.judge.samples import TierSamples
from tierdrill.judge.verdict import Check, Status

NEAR_S = 0.2
"""So close to each other are two refusals between which a queue does not empty and fill up again."""
ADMITTED_SURELY_S = 0.05
INVERSIONS_MIN = 5
INVERSIONS_SHARE = 0.02

Pool = tuple[object, str]
"""A gateway and a model."""


def judge_refusal_order(tiers: Tiers, samples: Mapping[str, TierSamples], events: tuple[int, ...]) -> Check:
    """Whether any tier was refused while a less important one was served by the same model and gateway."""
    ranked = [tier.name for tier in tiers.by_rank() if tier.name in samples]
    models = _models(samples.values()) if any(map(_refused, samples.values())) else {}
    refusals = {name: _refusals(samples[name], models) for name in ranked}
    served = {name: _served(samples[name]) for name in ranked}
    worse, refused_in_all, shared = [], 0, False
    for number, upper in enumerate(ranked):
        waits, doors = refusals[upper]
        refused = sum(map(len, waits.values())) + sum(map(len, doors.values()))
        refused_in_all += refused
        for lower in ranked[number + 1 :]:
            asked = waits.keys() | doors.keys()
            shared = shared or bool(served[lower] & (served[upper] | asked))
            # When they got their slots matters only where there is somebody whom they may have overtaken.
            granted = _grants(samples[lower]) if served[lower] & asked else {}
            _, turned_away = refusals[lower]
            count = sum(
                _inversions(moments, waits.get(pool, []), doors.get(pool, []), turned_away.get(pool, []))
                for pool, moments in granted.items()
            )
            if count >= max(INVERSIONS_MIN, INVERSIONS_SHARE * refused):
                worse.append(f"{count} of {lower} served while {upper} was turned away ({refused} in all)")
    known = any(len(part) > part.unknown for part in samples.values())
    bare = {name: _unexplained(samples[name]) for name in ranked[:-1]}
    untold = [f"{count} {name} rejections do not say why" for name, count in bare.items() if count >= BAD_AT_LEAST]
    status = Status.FAILED if worse else Status.PASSED if known and not untold else Status.INCONCLUSIVE
    seen = "; ".join(worse or untold) or (
        f"{refused_in_all} refusals, none while a less important tier was served"
        if shared
        else "no two tiers were served by one model"
    )
    return Check(
        id="invariant/refusal-order",
        group="invariant",
        status=status,
        title="refusal order",
        expected="no tier turned away while a less important one is served by the same model",
        seen=seen if known else "no requests",
        events=events,
        samples=refused_in_all,
    )


def _unexplained(part: TierSamples) -> int:
    if not _refused(part):
        return 0
    pairs = zip(part.not_answered("outcome"), part.not_answered("reason"), strict=True)
    return sum(outcome in ("rejected", "refused") and (reason or "") in UNEXPLAINED for outcome, reason in pairs)


def _refused(part: TierSamples) -> bool:
    return bool(part.counts["rejected"] or part.counts["refused"])


def _models(parts: Iterable[TierSamples]) -> dict[str, str]:
    """The model that each stream asks, by what mostly answered it."""
    counted: dict[str, Counter[str]] = {}
    for part in parts:
        for (stream, model), count in Counter(zip(part.column("stream"), part.column("model"), strict=True)).items():
            if model is not None:
                counted.setdefault(stream, Counter())[model] += count
    return {stream: count.most_common(1)[0][0] for stream, count in counted.items()}


def _served(part: TierSamples) -> set[Pool]:
    """The pools that gave some good answer."""
    pools = set(zip(part.answered("gateway"), part.answered("model"), strict=True))
    return {(gateway, model) for gateway, model in pools if model is not None}


def _refusals(
    part: TierSamples, models: Mapping[str, str]
) -> tuple[dict[Pool, list[tuple[float, float]]], dict[Pool, list[float]]]:
    """By pool: how long each waited in vain (begin and end), and when each was turned away at the door, ascending."""
    waits: dict[Pool, list[tuple[float, float]]] = {}
    doors: dict[Pool, list[float]] = {}
    if not _refused(part):
        return waits, doors
    columns = map(part.not_answered, ("due", "latency", "reason", "stream", "gateway", "outcome"))
    for due, latency, reason, stream, gateway, outcome in zip(*columns, strict=True):
        if outcome not in ("rejected", "refused") or stream not in models:
            continue
        pool = (gateway, models[stream])
        if reason == "queue-timeout":
            waits.setdefault(pool, []).append((due, due + latency))
        elif reason in CHOICE_REASONS - {"preempted"}:
            doors.setdefault(pool, []).append(due + latency)
    return waits, {pool: sorted(moments) for pool, moments in doors.items()}


def _grants(part: TierSamples) -> dict[Pool, list[float]]:
    """By pool: when each request that was answered got its slot, ascending."""
    grants: dict[Pool, list[float]] = {}
    columns = map(part.answered, ("due", "queue_wait", "model", "gateway"))
    for due, wait, model, gateway in zip(*columns, strict=True):
        if model is not None:
            grants.setdefault((gateway, model), []).append(due + (wait or 0.0))
    return {pool: sorted(moments) for pool, moments in grants.items()}


def _inversions(
    granted: list[float], waits: list[tuple[float, float]], doors: list[float], also_turned_away: list[float]
) -> int:
    """How many of those that were granted came before a more important one that waited, or between two turned away.

    Where their own tier is turned away at the same time too, no order is seen.
    """
    ahead: set[int] = set()
    for begin, end in waits:
        ahead.update(range(bisect_right(granted, begin + ADMITTED_SURELY_S), bisect_left(granted, end)))
    for one, next_one in pairwise(doors):
        if next_one - one > NEAR_S:
            continue
        first = bisect_left(also_turned_away, one - NEAR_S)
        if first < bisect_right(also_turned_away, next_one + NEAR_S):
            continue
        ahead.update(range(bisect_right(granted, one), bisect_left(granted, next_one)))
    return len(ahead)
