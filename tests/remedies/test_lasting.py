"""What remedies leave changed: every remedy that there is, or will be, is held to say so."""

from __future__ import annotations

from typing import Any

import pytest

from tierdrill.remedies.known_remedies import REMEDIES, settings_of
from tierdrill.remedies.remedy import Setting

LEAVE_NOTHING = {
    "restart-replica", "power-cycle", "restart-gateway", "restart-exporter", "restart-members", "notify",
    "revert-policy", "restart-monitoring", "load-from-mirror", "roll-back-model",
    "end-memory-hog", "free-disk", "sync-clock",
}  # fmt: skip
"""Something was started again, or somebody was told: there is nothing to put back."""

WHERE: dict[str, Any] = {
    "node": "node-1", "gateway": "gateway-a", "tier": "standard", "fraction": 0.5, "weight": 0, "flag": "retries",
    "replica": "assistant-0", "value": True, "message": "x", "rate": 5.0, "ratio": 0.1,
    "store": "state-store",
}  # fmt: skip


@pytest.mark.parametrize("remedy", REMEDIES)
def test_a_remedy_leaves_a_setting_or_is_known_to_leave_none(remedy: str) -> None:
    assert bool(settings_of(remedy, WHERE)) != (remedy in LEAVE_NOTHING)


@pytest.mark.parametrize(
    ("remedy", "arguments", "settings"),
    [
        ("shed", {"tier": "standard", "fraction": 0.5}, ["shed of standard"]),
        ("cap", {"tier": "standard", "rate": 5}, ["caps of standard"]),
        ("set-weight", {"node": "node-1", "gpu": 0, "weight": 0}, ["weights of node-1/0"]),
        ("set-weight", {"node": "node-1", "weight": 0, "gateway": "gateway-a"}, ["weights of node-1 at gateway-a"]),
        ("set-flag", {"flag": "retries", "value": True}, ["flags of retries"]),
        ("drain", {"node": "node-1"}, ["cordon of node-1", "places"]),
        ("uncordon", {"node": "node-1"}, ["cordon of node-1"]),
    ],
)
def test_the_settings_of_a_remedy(remedy: str, arguments: dict[str, Any], settings: list[str]) -> None:
    assert [str(one) for one in settings_of(remedy, arguments)] == settings


def test_what_gives_back_leaves_nothing_to_take_back() -> None:
    assert REMEDIES["shed"].lasting({"tier": "standard", "fraction": 0}) == ()
    assert REMEDIES["set-weight"].lasting({"node": "node-1", "weight": 1}) == ()
    assert REMEDIES["uncordon"].lasting({"node": "node-1"}) == ()
    assert REMEDIES["reschedule"].lasting({"node": "node-1"}) == ()
    assert REMEDIES["drain"].lasting({"node": "node-1"}) == (Setting("cordon", "node-1"),)


def test_one_setting_concerns_another_at_the_same_gateway() -> None:
    everywhere, here, there = (Setting("shed", "standard", at) for at in (None, "gateway-a", "gateway-b"))
    assert everywhere.concerns(here) and here.concerns(everywhere) and not here.concerns(there)
    assert not here.concerns(Setting("caps", "standard", "gateway-a"))
