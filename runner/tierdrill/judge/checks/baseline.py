"""Was the service well before the fault: a run whose baseline breaks an objective says nothing of the fault."""

from collections.abc import Collection, Mapping, Sequence

from tierdrill.documents.catalogue import DrillSetting
from tierdrill.documents.models.drill import TierExpectation
from tierdrill.documents.models.tiers import Tier
from tierdrill.judge.checks.recovery_times import BACK_IN_TARGET
from tierdrill.judge.checks.run_trust import check_of
from tierdrill.judge.checks.slo_checks import judge_tier, promised
from tierdrill.judge.samples import TierSamples
from tierdrill.judge.timeline import Timeline
from tierdrill.judge.verdict import Check, Status

SINCE_THE_FAULT = frozenset({*BACK_IN_TARGET, "time_to_detect"})
"""Objectives that say nothing of a time without a fault."""


def judge_baseline(
    setting: DrillSetting, samples: Mapping[str, TierSamples], timeline: Timeline, streamed: Collection[str]
) -> Check:
    """No objective that the drill judges was broken before the fault, as far as the baseline's requests tell."""
    broken: list[str] = []
    for tier, wanted in _judged(setting):
        expectation = TierExpectation.model_construct(tier=tier.name, during=("baseline",), objectives=wanted)
        mine = samples.get(tier.name, TierSamples())
        checks = judge_tier(expectation, tier, mine, timeline, (), streamed, prove=False)
        broken.extend(
            f"{one.title}: {one.seen}, {one.expected} promised" for one in checks if one.status is Status.FAILED
        )
    return check_of(
        "baseline",
        not broken,
        "no objective is broken before the fault",
        f"broken before any fault, which is not to blame: {'; '.join(broken)}" if broken else "none was",
        [],
    )


def _judged(setting: DrillSetting) -> Sequence[tuple[Tier, tuple[str, ...]]]:
    """The tiers that the drill judges, with their objectives; all that have a load, where it names none."""
    expected = {one.tier: one.objectives for one in setting.drill.expect.tiers}
    named = expected or {stream.tier: () for stream in setting.drill.load.streams}
    found = []
    for name, objectives in named.items():
        tier = setting.tiers.by_name(name)
        wanted = tuple(one for one in objectives or promised(tier.objectives) if one not in SINCE_THE_FAULT)
        if wanted:
            found.append((tier, wanted))
    return found
