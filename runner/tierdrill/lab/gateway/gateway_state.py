"""The gateway's state in one place: router, pools, governors, metrics. No I/O: the coroutines bring that."""

import itertools
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from prometheus_client import generate_latest

from tierdrill.lab.gateway.admission_queue import Effect, Granted, ModelPool, Preempted, Ticket, TicketState
from tierdrill.lab.gateway.circuit_breaker import CircuitBreaker
from tierdrill.lab.gateway.gateway_config import GatewayConfig, TierPolicies
from tierdrill.lab.gateway.gateway_metrics import GatewayMetrics
from tierdrill.lab.gateway.held_settings import HeldSettings
from tierdrill.lab.gateway.lifted_rules import LiftedRules
from tierdrill.lab.gateway.picker import FAILS_CLOSED, LOST, Picker
from tierdrill.lab.gateway.quarantine import Quarantine
from tierdrill.lab.gateway.retry_budget import RetryBudget
from tierdrill.lab.gateway.routing import Endpoint, Replica, Router
from tierdrill.lab.gateway.shedding import Caps, Clock, Shedder
from tierdrill.lab.lab_config import LabConfigError, TierConfig

ENDED = ("reset", "truncated")
"""The kinds of failure of an attempt in which the replica took it and then was gone."""


class GatewayCore:
    def __init__(self, config: GatewayConfig, clock: Clock) -> None:
        self.config = config
        self.picker = Picker(config.flags)
        self.flags = self.picker.in_effect
        self.clock = clock
        self.metrics = GatewayMetrics(config.name, config.tiers)
        self.router = Router(self.flags, config.share, clock)
        self.shedder = Shedder(config.tiers)
        self.caps = Caps(config.tiers, clock)
        self.budgets = {tier.name: RetryBudget(tier.retry_ratio, tier.retry_burst) for tier in config.tiers}
        self.policies = TierPolicies(config.tiers)
        self._retry_ratios: dict[str, float] = {}
        self.lifted = LiftedRules(config.tiers, clock, config.overrides)
        self.quarantine = Quarantine(time.time)
        self.sequence = itertools.count(1)
        self.store_age_s: Callable[[], float | None] = lambda: None
        """How long ago the state store was read; None without one."""
        self.held = HeldSettings(self.told, self.tell, clock)
        self._pools: dict[str, ModelPool] = {}
        self._breakers: dict[str, CircuitBreaker] = {}
        for model in sorted(config.known_models()):
            self._add_model(model)

    def pool(self, model: str) -> ModelPool | None:
        """The model's pool; None when there is no such model."""
        return self._pools.get(model)

    def allows(self, model: str, rank: int) -> bool:
        """Whether the model's circuit lets a request of that rank through."""
        return not self.flags.circuit_breaker or self._breakers[model].allows(rank)

    def circuits(self) -> dict[str, str]:
        """The models whose circuit is not closed, with how it is."""
        return {model: one.state for model, one in sorted(self._breakers.items()) if one.state != "closed"}

    def open_circuits(self, models: Iterable[str]) -> None:
        """Open those circuits, where this gateway knows the model."""
        for model in models:
            if model in self._breakers:
                self._breakers[model].open()

    def circuit_wait_s(self, model: str) -> float:
        """Until the model's circuit lets a trial through."""
        return self._breakers[model].wait_s()

    def perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            owner = effect.ticket.owner
            if isinstance(effect, Preempted):
                self.metrics.tier(effect.ticket.policy.name).preemptions.inc()
                if owner is not None:
                    owner.preempted()
            elif owner is None:
                continue
            elif isinstance(effect, Granted):
                owner.granted()
            else:
                owner.refused(effect.reason)

    def pump(self) -> None:
        """Serve those who wait, after something other than a departure may have made room."""
        for pool in self._pools.values():
            if pool.waiting:
                self.perform(pool.dispatch())

    def take_endpoints(self, endpoints: Iterable[Endpoint]) -> None:
        added, removed = self.router.update(endpoints)
        for model in self.router.models:
            if model not in self._pools:
                self._add_model(model)
        for replica in removed:
            self.metrics.remove_replica(replica.node, replica.name)
        for replica in added:
            self.metrics.add_replica(replica.node, replica.name)
        self.pump()

    def attempt_failed(self, replica: Replica, model: str, kind: str, prompt: str) -> None:
        """An attempt went wrong in a way that speaks against the replica."""
        if kind in ENDED:
            self.quarantine.ended(prompt, replica.name)
        self.metrics.upstream_failed(replica.node, replica.name, kind)
        self.router.failed(replica)
        self._record(model, ok=False)

    def attempt_succeeded(self, replica: Replica, model: str, prompt: str) -> None:
        self.quarantine.answered(prompt)
        self.router.succeeded(replica)
        self._record(model, ok=True)

    def keeps_off(self, prompt: str) -> bool:
        """Whether that prompt is sent to no replica, because it ends them."""
        return self.flags.poison_quarantine and self.quarantine.holds(prompt)

    def busy(self) -> dict[str, dict[str, dict[str, float]]]:
        """How busy each model is by tier: requests that run and wait, and the longest wait so far (seconds)."""
        now = self.clock()
        found: dict[str, dict[str, dict[str, float]]] = {}
        for model, pool in self._pools.items():
            tiers = found.setdefault(model, {})
            for ticket in (*pool.running, *pool.waiting):
                tier = tiers.setdefault(ticket.policy.name, {"running": 0, "waiting": 0, "longest_wait_s": 0.0})
                waits = ticket.state is TicketState.WAITING
                tier["waiting" if waits else "running"] += 1
                if waits:
                    tier["longest_wait_s"] = max(tier["longest_wait_s"], now - ticket.submitted_at)
        return found

    def running_on(self, replica: Replica) -> list[Ticket]:
        return [t for pool in self._pools.values() for t in pool.running if t.replica is replica]

    def told(self, what: str) -> dict[str, Any]:
        """What it was told of a setting; KeyError where there is no such setting."""
        shows: Mapping[str, Callable[[], dict[str, Any]]] = {
            "flags": self.picker.wanted.as_dict,
            "picker": lambda: {"up": self.picker.up, "state": self.picker.state},
            "weights": lambda: self.router.weights,
            "shed": lambda: self.shedder.fractions,
            "caps": lambda: self.caps.rates,
            "retries": lambda: dict(self._retry_ratios),
            "policy": lambda: dict(self.policies.changed),
            "overrides": self.lifted.seconds_left,
        }
        return shows[what]()

    def tell(self, what: str, changes: dict[str, Any]) -> None:
        """Change one of them, all that is said or nothing; LabConfigError for what cannot be."""
        change: Mapping[str, Callable[[dict[str, Any]], object]] = {
            "flags": self._change_flags,
            "picker": self._change_picker,
            "weights": self.router.set_weights,
            "shed": self.shedder.change,
            "caps": self.caps.change,
            "retries": self._change_retries,
            "policy": self._change_policy,
            "overrides": self.lifted.change,
        }
        change[what](changes)
        self.pump()

    def _change_flags(self, changes: dict[str, Any]) -> None:
        changed = self.picker.wanted.change(changes)
        self.picker.settle()
        if "circuit_breaker" in changed:
            for breaker in self._breakers.values():
                breaker.reset()

    def _change_retries(self, changes: dict[str, Any]) -> None:
        """Hold tiers to a share of retries, whatever their policy allows; None takes that back."""
        for tier, ratio in changes.items():
            if tier not in self.budgets:
                raise LabConfigError(f"retries: unknown tier {tier!r}, expected one of: {', '.join(self.budgets)}")
            if ratio is not None and (isinstance(ratio, bool) or not isinstance(ratio, int | float) or ratio < 0):
                raise LabConfigError(f"retries.{tier}: {ratio!r} is not a share of 0 or more")
        told = {**self._retry_ratios, **changes}
        self._retry_ratios = {tier: float(ratio) for tier, ratio in told.items() if ratio is not None}
        self._set_budgets()

    def _change_policy(self, changes: dict[str, Any]) -> None:
        self.policies.change(changes)
        self._set_budgets()
        for model, pool in self._pools.items():
            pool.reserving = self._reserving(model)

    def _set_budgets(self) -> None:
        for tier, budget in self.budgets.items():
            allowed = self.policies[tier].retry_ratio
            budget.ratio = min(allowed, self._retry_ratios.get(tier, allowed))

    def _reserving(self, model: str) -> tuple[TierConfig, ...]:
        return tuple(self.policies[tier.name] for tier in self.config.tiers_routed_to(model))

    def _change_picker(self, changes: dict[str, Any]) -> None:
        up = changes.get("up")
        if set(changes) != {"up"} or not isinstance(up, bool):
            raise LabConfigError('picker: expected {"up": true} or {"up": false}')
        self.picker.set_up(up)
        if self.picker.state == FAILS_CLOSED:
            for pool in self._pools.values():
                self.perform(pool.refuse_waiting(LOST))

    def exposition(self) -> bytes:
        """The metrics page. What is a state, not an event, is set here and costs nothing between scrapes."""
        metrics, gateway = self.metrics, self.config.name
        waiting = {(tier.name, model): 0 for tier in self.config.tiers for model in self._pools}
        running = {tier.name: 0 for tier in self.config.tiers}
        for model, pool in self._pools.items():
            for ticket in pool.waiting:
                waiting[ticket.policy.name, model] += 1
            for ticket in pool.running:
                running[ticket.policy.name] += 1
        for (tier, model), depth in waiting.items():
            metrics.queue_depth.labels(gateway, tier, model).set(depth)
        for tier, count in running.items():
            metrics.tier(tier).inflight.set(count)
            metrics.tier(tier).shed_fraction.set(self.shedder.fractions[tier])
            metrics.rank.labels(gateway, tier).set(self.policies[tier].rank)
            metrics.retry_ratio.labels(gateway, tier).set(self.budgets[tier].ratio)
            metrics.retries_most.labels(gateway, tier).set(self.policies[tier].retries)
        ejected = self.router.ejected()
        for replica in self.router.replicas:
            metrics.ejected.labels(gateway, replica.node, replica.name).set(replica.name in ejected)
        for model, breaker in self._breakers.items():
            metrics.circuit.labels(gateway, model).set(breaker.refuses)
        for flag, on in self.flags.as_dict().items():
            metrics.flag.labels(gateway, flag).set(on)
        metrics.picker.labels(gateway).set(self.picker.up)
        metrics.held_off.set(len(self.quarantine.held()))
        if (age_s := self.store_age_s()) is not None:
            metrics.store_age.labels(gateway).set(age_s)
        metrics.show_lifted(self.lifted.seconds_left())
        return generate_latest(metrics.registry)

    def _add_model(self, model: str) -> None:
        reserving = self._reserving(model)
        top_rank = self.config.tiers[0].rank
        self._pools[model] = ModelPool(
            model, self.router, self.flags, reserving, top_rank, self.clock, self.lifted
        )
        self._breakers[model] = CircuitBreaker(self.clock)
        self.metrics.add_model(model)

    def _record(self, model: str, *, ok: bool) -> None:
        if not self.flags.circuit_breaker:
            return
        breaker = self._breakers[model]
        if breaker.record(ok) and not ok:
            self.perform(self._pools[model].refuse_waiting("circuit-open"))
