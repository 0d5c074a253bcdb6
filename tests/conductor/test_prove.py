"""A proof runs what it must and no more; a guardrail's abort is what one run came to, a person's stop ends it all."""

from __future__ import annotations

import pytest

from tests.conductor.runs import Runs
from tests.judge.build import shipped
from tierdrill.judge.proof import variants_of

RETRIES, MOVED = "sabotage:without-retries", "sabotage:without-reschedule-critical"


def test_it_stops_at_the_first_drill_that_notices(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Runs(monkeypatch, node_loss={MOVED: "unheard"}, slow_link={RETRIES: "broken", MOVED: "broken"})
    whole, found = runs.ablate(
        {
            "retries": ["slow-link", "node-loss"],
            "reschedule-critical": ["node-loss", "slow-link"],
        }
    )
    assert runs.made == [
        ("slow-link", "drill"),
        ("slow-link", RETRIES),
        ("node-loss", "drill"),
        ("node-loss", MOVED),
        ("slow-link", MOVED),
    ]
    assert [one.noticed_by for one in found] == ["slow-link", "slow-link"]
    assert found[1].drills == ("node-loss", "slow-link") and all(row.ok for row in whole.values())
    assert len(runs.made) < runs.planned == 6 and runs.left == [] and runs.runs_left == 0


def test_what_no_drill_notices_is_unproven(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Runs(monkeypatch, node_loss={RETRIES: "doubted"})
    _, found = runs.ablate({"retries": ["node-loss", "slow-link"], "fallback": []})
    assert [(one.part, one.noticed_by, one.drills) for one in found] == [
        ("retries", None, ("node-loss", "slow-link")),
        ("fallback", None, ()),
    ]
    assert len(runs.made) == runs.planned and runs.left == [] and runs.runs_left == 0


def test_a_drill_that_does_not_pass_whole_notices_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Runs(monkeypatch, node_loss={"drill": "broken", RETRIES: "broken"})
    whole, found = runs.ablate({"retries": ["node-loss"]})
    assert runs.made == [("node-loss", "drill")]
    assert not whole["node-loss"].ok and found[0].noticed_by is None


@pytest.mark.parametrize("how", ["stopped", "halted", "unclean"])
@pytest.mark.parametrize("at", ["drill", RETRIES])
def test_a_run_that_somebody_stopped_ends_it(monkeypatch: pytest.MonkeyPatch, at: str, how: str) -> None:
    runs = Runs(monkeypatch, node_loss={at: how})
    _, found = runs.ablate({"retries": ["node-loss", "slow-link"], "fallback": ["slow-link"]})
    assert runs.made[-1] == ("node-loss", at) and all(one.noticed_by is None for one in found)
    assert runs.left == ["retries", "fallback"] and runs.runs_left > 0
    assert [one.part for one in found] == ([] if at == "drill" else ["retries"])


@pytest.mark.parametrize("how", ["stopped", "halted", "unclean"])
def test_a_proof_ends_with_a_run_that_somebody_stopped(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    runs = Runs(monkeypatch, node_loss={"blip": how})
    rows = runs.prove("node-loss")
    assert [row.variant for row in rows] == ["drill", "blip"] and rows[-1].ends_the_proof and not rows[-1].ok


def test_a_proof_goes_on_after_a_guardrail(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, *_ = variants = variants_of(shipped("node-loss"))[2:]
    runs = Runs(
        monkeypatch, node_loss={"drill": "guarded", "blip": "guarded", first: "guarded late", second: "guarded"}
    )
    rows = {row.variant: row for row in runs.prove("node-loss")}
    assert list(rows) == ["drill", "blip", *variants]
    # The drill and its blip failed; a sabotage shows what was seen by then, or nothing.
    assert [rows[one].ok for one in ("drill", "blip", first, second)] == [False, False, True, False]
    assert [rows[one].says for one in ("drill", "blip", second)] == ["failed", "failed", "inconclusive"]


def test_an_ablation_goes_on_after_a_guardrail(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Runs(
        monkeypatch,
        node_loss={RETRIES: "guarded", MOVED: "guarded late"},
        slow_link={RETRIES: "broken"},
        hot_gpu={"drill": "guarded late"},
    )
    whole, found = runs.ablate(
        {"retries": ["hot-gpu", "node-loss", "slow-link"], "reschedule-critical": ["node-loss"]}
    )
    assert [one.noticed_by for one in found] == ["slow-link", "node-loss"]
    assert found[0].drills == ("node-loss", "slow-link")
    # What its own guardrail ends with everything in place can notice nothing.
    assert not whole["hot-gpu"].ok and ("hot-gpu", RETRIES) not in runs.made
