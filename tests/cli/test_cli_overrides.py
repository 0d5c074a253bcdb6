"""`tierdrill tiers override` as it is typed."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.cli.support import Done, copied_catalogue, tierdrill
from tests.cli.test_cli_surface import complete

ASKED = ("critical", "--rule", "queue-limit", "--reason", "a surge", "--as", "incident-commander", "--author", "ann")


def override(home: Path, verb: str, *words: str) -> Done:
    return tierdrill(home, "tiers", "override", verb, *words)


def test_it_is_granted_shown_and_revoked(tmp_path: Path) -> None:
    granted = override(tmp_path, "grant", *ASKED, "--for", "2h")
    assert granted.code == 0, granted.err
    assert granted.out.startswith("lifted: queue-limit of critical until ")
    assert granted.out.endswith("by ann as incident-commander: a surge\n")
    (one,) = json.loads(override(tmp_path, "list", "--json").out)["overrides"]
    assert (one["tiers"], one["tier"], one["rule"], one["who"]) == ("serving", "critical", "queue-limit", "ann")
    assert 7000 < one["left"] <= 7200
    status = tierdrill(tmp_path, "status")
    assert status.code == 0
    assert re.search(r"OVERRIDE: queue-limit of critical is lifted for (2:00:00|1:5\d:\d\d) more", status.out)
    assert override(tmp_path, "revoke", *ASKED).out == "revoked: queue-limit of critical holds again\n"
    assert override(tmp_path, "list").out == "no overrides in force\n"
    shown = tierdrill(tmp_path, "audit", "show", "--what", "override").out.splitlines()
    assert [line.split()[4] for line in shown[1:]] == ["override.granted", "override.revoked"]


def test_what_cannot_be_is_refused_in_one_line(tmp_path: Path) -> None:
    for words, told in (
        ((*ASKED, "--for", "2"), "got '2', expected a duration with its unit"),
        ((*ASKED, "--for", "48h"), "an override of 2d, expected from 1s to 1d"),
        (("gold", *ASKED[1:], "--for", "2h"), "no tier named 'gold'"),
        ((*ASKED, "--for", "2h", "--tiers", "servin"), "did you mean serving"),
        (
            (*ASKED, "--for", "2h", "--rule", "integrity"),
            "integrity is never lifted: a wrong answer is worse",
        ),
        ((*ASKED, "--for", "2h", "--as", "intern"), "intern has no right to override a rule of critical"),
    ):
        done = override(tmp_path, "grant", *words)
        assert done.code == 2 and told in done.err, (words, done)
    assert override(tmp_path, "list").out == "no overrides in force\n"


def test_rules_are_listed_and_completed(tmp_path: Path) -> None:
    listed = override(tmp_path, "list", "--rules").out
    assert "queue-limit" in listed and "residency" in listed and "never lifted: " in listed
    assert complete(tmp_path, "tierdrill tiers override grant critical --rule queue-") == ["queue-limit", "queue-wait"]


def test_status_tells_of_reviews_that_are_due_and_of_maintenance_whatever_else_is_broken(tmp_path: Path) -> None:
    root = copied_catalogue(tmp_path / "docs")
    tiers = root / "drills" / "platform" / "tiers.yaml"
    window = "{start: 2020-01-01, end: 2400-01-01, declared_by: team-serving-core, reason: new switches}"
    due = tiers.read_text().replace("reviewed: 2026-11-02", "reviewed: 2020-11-02", 1)
    tiers.write_text(due.replace("tiers:\n", f"maintenance:\n  - {window}\ntiers:\n", 1))
    (root / "drills" / "node-loss.yaml").write_text("nonsense: [")
    lines = tierdrill(tmp_path / "home", "--catalogue", root, "status").out.splitlines()
    assert "tier critical was due for review by team-serving-core on 2021-05-01" in lines
    assert "maintenance of every tier until 2400-01-01, declared by team-serving-core: new switches" in lines
    told = json.loads(tierdrill(tmp_path / "home", "--catalogue", root, "status", "--json").out)["policy"]
    assert "critical" in [one["tier"] for one in told["reviews_due"]]
