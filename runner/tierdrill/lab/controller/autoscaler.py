"""How many replicas a model should have, by how busy the gateways say it is. Pure: the clock is injected.

Only requests of the model's own tier and of those above it count: lesser tiers take the slots that are left over, and
a flood of them asks for no GPU. Some slots are kept free for a peak (`headroom`), for a replica needs time to start.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tierdrill.lab.controller.cluster_model import ControllerConfig
from tierdrill.lab.lab_config import AutoscaleConfig, LabConfigError

FRESH_S = 2.0
"""A gateway that was not heard of for so long has nothing to say; where none was, nothing is changed."""


@dataclass(frozen=True)
class Busy:
    """What a gateway says of a model: requests that run and wait, and the longest wait so far in seconds."""

    running: float = 0.0
    waiting: float = 0.0
    longest_wait_s: float = 0.0


class Autoscaler:
    """`config` by model; `counted` are the tiers whose requests count for it, `slots` those of one replica."""

    def __init__(
        self, config: Iterable[AutoscaleConfig], counted: Mapping[str, frozenset[str]], slots: Mapping[str, int]
    ) -> None:
        self._config = {each.model: each for each in config}
        self._counted, self._slots = counted, slots
        self._heard: dict[str, tuple[float, dict[str, Busy]]] = {}
        self._short_since: dict[str, float] = {}
        self._idle_since: dict[str, float] = {}

    @property
    def models(self) -> list[str]:
        return list(self._config)

    def hear(self, gateway: str, models: Mapping[str, Mapping[str, Mapping[str, Any]]], now: float) -> None:
        """What a gateway says: by model and tier `running`, `waiting`, `longest_wait_s`. LabConfigError."""
        told = {}
        for model in self._config:
            tiers = [said for tier, said in models.get(model, {}).items() if tier in self._counted[model]]
            try:
                told[model] = Busy(
                    sum(float(tier["running"]) for tier in tiers),
                    sum(float(tier["waiting"]) for tier in tiers),
                    max((float(tier["longest_wait_s"]) for tier in tiers), default=0.0),
                )
            except (KeyError, TypeError, ValueError) as error:
                raise LabConfigError(f"load of {model}: {type(error).__name__} {error}") from None
        self._heard[gateway] = now, told

    def wanted(self, model: str, replicas: int, at_least: int, now: float) -> int:
        """How many replicas it should have, of which there are so many now."""
        heard = [told[model] for at, told in self._heard.values() if now - at <= FRESH_S]
        if not heard:
            self._short_since.pop(model, None)
            self._idle_since.pop(model, None)
            return replicas
        config = self._config[model]
        asked = sum(busy.running + busy.waiting for busy in heard)
        needed = math.ceil(asked / (self._slots[model] * (1.0 - config.headroom)) - 1e-9)
        if max(busy.longest_wait_s for busy in heard) > config.queue_wait_s:
            needed = max(needed, replicas + 1)
        needed = min(config.replicas_at_most, max(at_least, needed))
        if needed > replicas and now - self._short_since.setdefault(model, now) >= config.after_s:
            return needed
        if needed < replicas and now - self._idle_since.setdefault(model, now) >= config.idle_s:
            # One at a time: the next one must be idle for as long.
            self._idle_since[model] = now
            return replicas - 1
        if needed <= replicas:
            self._short_since.pop(model, None)
        if needed >= replicas:
            self._idle_since.pop(model, None)
        return replicas


def autoscaler_of(config: ControllerConfig, tiers: Sequence[Mapping[str, Any]]) -> Autoscaler:
    """The autoscaler of a lab; `tiers` have a name and a rank."""
    first = {each.model: each for each in reversed(config.replicas)}
    counted = {
        each.model: frozenset(tier["name"] for tier in tiers if tier["rank"] <= first[each.model].rank)
        for each in config.autoscale
    }
    return Autoscaler(config.autoscale, counted, {each.model: first[each.model].slots for each in config.autoscale})
