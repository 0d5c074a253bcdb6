"""Blast radius: what a run touched against what its environment allows, what went down with it, and whom it reached."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tierdrill.documents.catalogue import DrillSetting
from tierdrill.documents.environment_inventory import inventory_of
from tierdrill.documents.models.tiers import Tier, quantile_share
from tierdrill.faults.blast_radius import Layout, touched
from tierdrill.faults.known_kinds import disrupts
from tierdrill.history.events import Event, each
from tierdrill.history.kinds.run_kinds import PlatformState
from tierdrill.history.projection import FaultSpan
from tierdrill.report.charts.sample_series import Affected, Sample, affected
from tierdrill.report.run_model import MoveView, RunState


@dataclass(frozen=True)
class Reach:
    """One kind of target: how many a drill may touch at once, how many it did, and which."""

    kind: str
    allowed: int | None
    touched: int
    names: tuple[str, ...]

    @property
    def within(self) -> bool:
        return self.allowed is None or self.touched <= self.allowed


@dataclass(frozen=True)
class BlastView:
    reaches: tuple[Reach, ...]
    carried: tuple[str, ...]
    moves: tuple[MoveView, ...]
    affected: tuple[tuple[Tier, Affected], ...]
    slow_limits: Mapping[str, float | None]


def blast_of(setting: DrillSetting, state: RunState, events: Sequence[Event], samples: Iterable[Sample]) -> BlastView:
    allowed = setting.environment.blast_radius.limits
    inventory = inventory_of(setting.environment, setting.tiers, setting.workloads)
    layout = inventory.layout if inventory is not None else Layout()
    kinds = [*allowed, *sorted({f.target_kind for f in state.faults.values()} - set(allowed) - {""})]
    reaches = []
    for kind in kinds:
        mine = [fault for fault in state.faults.values() if fault.target_kind == kind and fault.intended_at is not None]
        targets = tuple(dict.fromkeys(fault.target for fault in mine))
        reaches.append(Reach(kind, allowed.get(kind), _most_at_once(mine, state, layout), targets))
    slow = {tier.name: _slow_limit(tier) for tier in setting.tiers.tiers}
    start, end = state.effect, state.ended or state.now
    hit = affected(samples, start, end, slow) if start is not None else {}
    return BlastView(
        reaches=tuple(reaches),
        carried=_carried(state, events),
        moves=state.moves,
        affected=tuple((tier, hit[tier.name]) for tier in setting.tiers.by_rank() if tier.name in hit),
        slow_limits=slow,
    )


def _slow_limit(tier: Tier) -> float | None:
    promised = sorted(tier.objectives.latency.items(), key=lambda item: quantile_share(item[0]))
    return promised[-1][1] if promised else None


def _most_at_once(faults: Sequence[FaultSpan], state: RunState, layout: Layout) -> int:
    """The most that was touched at one moment, counted as when it was allowed; from the intent on, as nobody knows
    better.
    """
    end = state.ended or state.now
    spans = [
        (f.intended_at or 0.0, f.gone_at if f.gone_at is not None else end, touched(f.target_kind, f.target, layout))
        for f in faults
    ]
    together = [[names for begin, over, names in spans if begin <= at <= over] for at, _, _ in spans]
    return max((len(frozenset().union(*names)) for names in together), default=0)


def _carried(state: RunState, events: Iterable[Event]) -> tuple[str, ...]:
    """Replicas that lived on the faulted nodes and GPUs when the fault took effect."""
    if state.effect is None:
        return ()
    before = [said for event, said in each(events, PlatformState) if event.at <= state.effect]
    hit = {
        (fault.target_kind, fault.target)
        for fault in state.faults.values()
        if fault.effective_at is not None and disrupts(fault.kind)
    }
    return tuple(
        sorted(
            str(replica.get("name"))
            for replica in (before[-1].replicas if before else ())
            if ("node", replica.get("node")) in hit or ("gpu", f"{replica.get('node')}/{replica.get('gpu')}") in hit
        )
    )
