"""Who decides about a tier: rights, reviews, approvals and maintenance as they are written, and who keeps to them."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from tests.documents.support import PLAYBOOK, TIERS, WORKLOADS, changed, good_catalogue, lines
from tierdrill.documents.catalogue_reader import load_catalogue

FIRST = "    override_by: [incident-commander]\n"
AFTER = "tiers:\n"
WINDOW = "maintenance:\n  - {start: 2026-12-01T02:00, end: 2026-12-01T04:00, declared_by: sre, reason: new switches"
APPROVAL = "approvals:\n  - {tier: critical, by: sre, on: 2026-11-30, reason: agreed with sales, fields: "


def first_tier(rights: str, more: str = "") -> tuple[str, str]:
    return FIRST, f"    rights: {rights}\n{more}"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return good_catalogue(tmp_path)


def test_all_of_it_is_read(root: Path) -> None:
    changed(
        root,
        TIERS,
        first_tier(
            "{override: [sre], declare_maintenance: [sre], approve_change: [sre]}", "    reviewed: 2026-06-01\n"
        ),
        ("    reviewed: 2026-06-01\n", "    reviewed: 2026-06-01\n    review_every: 30d\n"),
        (AFTER, f"{WINDOW}, tiers: [critical]}}\n{APPROVAL}[objectives.availability]}}\n{AFTER}"),
    )
    assert lines(root) == []
    (tiers,) = load_catalogue(root)[0].tiers.values()
    tier = tiers.by_name("critical")
    assert tier.may_override == ("sre",)
    assert tier.review_due == date(2026, 7, 1)
    assert tiers.approvals[0].fields == ("objectives.availability",)
    start, end = tiers.maintenance[0].span
    assert end - start == 7200.0
    assert [tiers.maintenance[0].goes_on(at) for at in (start - 1, start, end - 1, end)] == [False, True, True, False]
    assert tiers.maintenance[0].covers("critical") and not tiers.maintenance[0].covers("standard")


def test_the_older_name_of_the_right_to_override_counts(root: Path) -> None:
    (tiers,) = load_catalogue(root)[0].tiers.values()
    assert tiers.by_name("critical").may_override == ("incident-commander",)


@pytest.mark.parametrize(
    ("path", "edits", "told"),
    [
        (TIERS, (first_tier("{override: [a]}", FIRST),), "override_by beside rights.override"),
        (TIERS, (first_tier("{approve_change: [' ']}"),), "nothing for a role"),
        (TIERS, (first_tier("{}", "    review_every: 30d\n"),), "review_every without reviewed"),
        (TIERS, (first_tier("{}", "    reviewed: 2026-02-30\n"),), "got '2026-02-30'"),
        (TIERS, ((AFTER, f"{WINDOW}, tiers: [gold]}}\n{AFTER}"),), "gold"),
        (TIERS, ((AFTER, f"{WINDOW.replace('T04', 'T01')}}}\n{AFTER}"),), "the end is after the start"),
        (TIERS, ((AFTER, WINDOW.replace("new switches", '""') + f"}}\n{AFTER}"),), "nothing for reason"),
        (
            TIERS,
            (first_tier("{declare_maintenance: [ann]}"), (AFTER, f"{WINDOW}}}\n{AFTER}")),
            "sre has no right to declare_maintenance critical; its rights.declare_maintenance: ann",
        ),
        (
            TIERS,
            (first_tier("{approve_change: [ann]}"), (AFTER, f"{APPROVAL}[deadline]}}\n{AFTER}")),
            "sre has no right to approve_change critical",
        ),
        (TIERS, ((AFTER, f"{APPROVAL}[speed]}}\n{AFTER}"),), "speed"),
        (TIERS, (first_tier("{scale: [ann]}"),), "has no right to scale critical"),
        (TIERS, (first_tier("{fail_over: [ann]}"),), "has no right to fail_over critical"),
    ],
)
def test_what_makes_no_sense_is_told(root: Path, path: str, edits: tuple[tuple[str, str], ...], told: str) -> None:
    changed(root, path, *edits)
    found = lines(root)
    assert len(found) == 1 and told in found[0], found


def test_the_right_is_looked_for_where_somebody_uses_it(root: Path) -> None:
    changed(root, TIERS, first_tier("{scale: [ann], fail_over: [ann]}"))
    assert [line.partition(":")[0] for line in lines(root)] == [WORKLOADS, PLAYBOOK]
