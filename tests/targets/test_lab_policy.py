"""A policy that was rolled out to the gateways is proven by what their metrics show of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.targets.endpoint import Answer, Endpoint
from tierdrill.lab.gateway.gateway_config import GatewayConfig
from tierdrill.lab.gateway.gateway_state import GatewayCore
from tierdrill.lab.lab_config import TierConfig
from tierdrill.targets.base import TargetError
from tierdrill.targets.lab.fault_port import LAB_FAULTS
from tierdrill.targets.lab.lab_facts import LabFacts
from tierdrill.targets.lab.remedy_port import LabRemedies

TIERS = (TierConfig("critical", 1), TierConfig("standard", 2, retries=1, retry_ratio=0.2), TierConfig("best-effort", 3))


class Lab:
    """Two gateways: the cores of real ones, and a port that answers with the metrics of one and the other by turns."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.cores = {name: GatewayCore(GatewayConfig(name, "c", "t", TIERS), lambda: 0.0) for name in "ab"}
        self._turn = 0
        endpoint.answer = lambda asked: Answer(body=self._metrics())
        self.address = endpoint.address

    def _metrics(self) -> bytes:
        self._turn += 1
        return self.cores["ab"[self._turn % 2]].exposition()

    def status(self) -> dict[str, Any]:
        return {"addresses": {"gateways": dict.fromkeys(self.cores, self.address)}}

    def gateways(self, what: str) -> dict[str, Any]:
        return {name: core.told(what) for name, core in self.cores.items()}

    def to_gateways(self, what: str, changes: dict[str, Any], gateway: str | None = None) -> None:
        for name, core in self.cores.items():
            if gateway in (None, name):
                core.tell(what, changes)


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("priority-swap", {"tier": "critical", "of_tier": "best-effort"}),
        ("retry-budget-loss", {"tier": "standard", "retries": 5}),
    ],
)
def test_it_lands_in_every_gateway_and_is_gone_when_each_is_as_before(
    endpoint: Endpoint, kind: str, parameters: dict[str, Any]
) -> None:
    lab: Any = Lab(endpoint)
    fault, facts = LAB_FAULTS[kind], LabFacts(lab)
    with pytest.raises(TargetError, match="expected one of: best-effort, critical, standard"):
        fault.bind(lab, {}, {**parameters, "tier": "gold"})
    p = {**parameters, **fault.bind(lab, {}, parameters)}
    assert fault.gone(lab, p).seen and not fault.landed(lab, p).seen
    fault.inject(lab, p)
    assert fault.landed(lab, p).seen and not fault.gone(lab, p).seen
    assert facts.tier_policy(p["tier"]) == "changed"
    lab.cores["a"].tell("policy", dict.fromkeys(tier.name for tier in TIERS))
    assert not fault.landed(lab, p).seen and not fault.gone(lab, p).seen  # one has it, and one has not
    fault.revert(lab, p)
    fault.revert(lab, p)
    assert fault.gone(lab, p).seen and facts.tier_policy(p["tier"]) == "as-configured"


def test_retries_are_held_whatever_the_policy_allows_and_given_back(endpoint: Endpoint) -> None:
    lab: Any = Lab(endpoint)
    remedies = LabRemedies.__new__(LabRemedies)
    LabFacts.__init__(remedies, lab)
    fault = LAB_FAULTS["retry-budget-loss"]
    p = {"tier": "standard", "retries": 5}
    p |= fault.bind(lab, {}, p)
    fault.inject(lab, p)
    budget = lab.cores["b"].budgets["standard"]
    assert budget.ratio == 5.0
    assert remedies.set_retry_budget({"tier": "standard", "ratio": 0.05}).ok and budget.ratio == 0.05
    assert fault.landed(lab, p).seen and not fault.gone(lab, p).seen, "the policy is not put back"
    fault.revert(lab, p)
    assert budget.ratio == 0.05 and fault.gone(lab, p).seen
    lab.to_gateways("retries", {"standard": None})
    assert budget.ratio == 0.2
    fault.inject(lab, p)
    assert "standard" in remedies.revert_policy({}).detail and budget.ratio == 0.2
