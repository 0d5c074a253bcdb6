"""Overrides: who may lift which rule, for how long, and what is in force."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.judge.build import shipped
from tierdrill.documents.models.protections import NEVER_LIFTED
from tierdrill.history.audit_log import entries, verify
from tierdrill.tier_policy import override_grants
from tierdrill.tier_policy.override_grants import OverrideRefused, RuleOverride, grant, in_force, lifted_in, revoke

TIERS = shipped().tiers
ROLE = "incident-commander"


def lift(home: Path, tier: str = "critical", rule: str = "queue-limit", **other: object) -> RuleOverride:
    asked: dict[str, object] = {"seconds": 60.0, "role": ROLE, "who": "ann", "why": "a surge", **other}
    return grant(home, TIERS, tier, rule, **asked)  # type: ignore[arg-type]


def test_a_rule_is_lifted_until_it_ends_by_itself(tmp_path: Path) -> None:
    granted = lift(tmp_path)
    assert in_force(tmp_path) == [granted]
    assert in_force(tmp_path, granted.until - 0.01) == [granted]
    assert in_force(tmp_path, granted.until) == []
    assert in_force(tmp_path, granted.granted_at - 1) == []
    (entry,) = entries(tmp_path)
    assert (entry.who, entry.what, entry.about, entry.why) == (
        "ann",
        "override.granted",
        "critical/queue-limit",
        "a surge",
    )
    assert entry.after["role"] == ROLE and entry.after["until"] == granted.until


def test_it_can_be_granted_again_and_revoked(tmp_path: Path) -> None:
    first = lift(tmp_path)
    longer = lift(tmp_path, seconds=600.0)
    other = lift(tmp_path, "standard")
    assert in_force(tmp_path) == [other, longer] and longer.until > first.until
    assert list(entries(tmp_path))[1].before == {"until": first.until}
    assert revoke(tmp_path, TIERS, "critical", "queue-limit", role=ROLE, who="bob", why="over") == longer
    assert in_force(tmp_path) == [other]
    with pytest.raises(OverrideRefused, match="no override of queue-limit of critical is in force"):
        revoke(tmp_path, TIERS, "critical", "queue-limit", role=ROLE, who="bob", why="over")
    assert verify(tmp_path).faults == ()


def test_one_for_an_environment_lifts_nothing_elsewhere(tmp_path: Path) -> None:
    here = lift(tmp_path, environment="staging")
    assert str(here).startswith("queue-limit of critical in staging until ")
    assert lifted_in(tmp_path, "serving", "staging") == {"critical/queue-limit": here.until}
    assert lifted_in(tmp_path, "serving", "lab") == lifted_in(tmp_path, "others", "staging") == {}
    everywhere = lift(tmp_path, seconds=600.0)
    assert lifted_in(tmp_path, "serving", "lab") == {"critical/queue-limit": everywhere.until}
    assert lifted_in(tmp_path, "serving", "staging") == {"critical/queue-limit": everywhere.until}
    # A lab that an earlier version brought up does not say what it is of.
    assert lifted_in(tmp_path, "", "") == {"critical/queue-limit": everywhere.until}
    ended = revoke(tmp_path, TIERS, "critical", "queue-limit", role=ROLE, who="bob", why="over")
    assert (ended, in_force(tmp_path)) == (everywhere, [here])
    with pytest.raises(OverrideRefused, match="is in force; there is one for staging"):
        revoke(tmp_path, TIERS, "critical", "queue-limit", role=ROLE, who="bob", why="over")


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        *(({"rule": rule}, f"{rule} is never lifted: ") for rule in NEVER_LIFTED),
        ({"rule": "queue-limt"}, "did you mean queue-limit"),
        ({"tier": "gold"}, "no tier 'gold' in serving"),
        ({"role": "team-batch"}, "team-batch has no right to override a rule of critical; that has incident-commander"),
        ({"why": " "}, "an override has a reason"),
        ({"seconds": 25 * 3600.0}, "an override of 25h, expected from 1s to 1d"),
        ({"seconds": 0.0}, "expected from 1s"),
    ],
)
def test_what_is_refused_lifts_and_records_nothing(tmp_path: Path, asked: dict[str, object], told: str) -> None:
    with pytest.raises(OverrideRefused, match=told):
        lift(tmp_path, **asked)  # type: ignore[arg-type]
    assert in_force(tmp_path) == [] and list(entries(tmp_path)) == []


def test_where_nobody_has_the_right_nobody_may(tmp_path: Path) -> None:
    critical = TIERS.by_name("critical")
    nobodys = critical.model_copy(update={"rights": critical.rights.model_copy(update={"override": ()})})
    tiers = TIERS.model_copy(update={"tiers": (nobodys,)})
    with pytest.raises(OverrideRefused, match="nobody has it"):
        override_grants.grant(tmp_path, tiers, "critical", "queue-limit", seconds=60.0, role=ROLE, who="ann", why="x")
