"""The debrief: score with reasons, the truth, the timeline against what could be seen, and what to read next."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.training.build import catalogue, shipped, well_done
from tests.training.world import World
from tierdrill.training.exercise_setting import NotAnExercise
from tierdrill.training.responders import Policy, Responder
from tierdrill.training.results.debrief import Debrief, debrief_of
from tierdrill.training.results.debrief_views import debrief_html, debrief_markdown, write_debrief

NAMES = sorted(catalogue().scenarios)
ROOT = Path(__file__).resolve().parents[2]


def debriefed(name: str, policy: Policy) -> Debrief:
    """The debrief of an exercise as a policy plays it."""
    world = World(catalogue().scenarios[name])
    Responder(policy, world.ask, world.wait, world.now).run(world.scenario.duration)
    return debrief_of(world.events())


@pytest.mark.parametrize("name", NAMES)
def test_it_tells_truth_score_clues_and_reading(name: str) -> None:
    found = debriefed(name, "good")
    scenario = catalogue().scenarios[name]
    text = debrief_markdown(found)
    assert found.headline in text
    assert scenario.reading in text
    assert all(incident.cause in text and incident.fault in text for incident in scenario.incidents)
    assert all(line.title in text for line in found.card.lines)
    assert len(found.clues) == sum(len(incident.evidence) for incident in scenario.incidents)
    assert [row.at_s for row in found.timeline] == sorted(row.at_s for row in found.timeline)
    page = debrief_html(found)
    assert "<script" not in page
    assert not re.search(r"(?:src|href)=[\"']https?:", page)
    assert len(page) < 200_000


def test_the_timeline_sets_deeds_against_what_could_be_seen() -> None:
    found = debriefed("iron-orchard", "harmful")
    levels = {row.level for row in found.timeline}
    assert {"truth", "page", "clue", "bad", "did"} <= levels
    bad = [row.text for row in found.timeline if row.level == "bad"]
    assert any("restart-replica" in text and "harms" in text for text in bad)
    looked = [clue for clue in found.clues if clue.looked_s is not None]
    assert all(clue.looked_s >= clue.visible_s for clue in looked if clue.looked_s is not None)


def test_what_somebody_typed_cannot_break_the_page(tmp_path: Path) -> None:
    sitting = well_done(shipped("amber-kettle")[0])
    sitting.trainee = "<b>Eve</b> | x"
    sitting.updates = [(30.0, "<script>alert(1)</script> | a\n| b")]
    found = debrief_of(sitting.events())
    path = write_debrief(found, tmp_path / "run")
    assert "<script>" not in path.read_text(encoding="utf-8")
    rows = [line for line in debrief_markdown(found).splitlines() if "alert(1)" in line]
    assert rows == [r"| 0:30 | trainee | tells: \<script\>alert(1)\</script\> \| a \| b |"]


def test_an_exercise_without_a_score_says_why() -> None:
    sitting = well_done(shipped("amber-kettle")[0])
    sitting.landed = False
    found = debrief_of(sitting.events())
    assert "no score: incident replica was not seen to land" in debrief_markdown(found)
    assert "no score" in debrief_html(found)


def test_another_history_is_refused() -> None:
    with pytest.raises(NotAnExercise, match=r"no exercise\.started"):
        debrief_of([])
    events = well_done(shipped("amber-kettle")[0]).events()
    events[0].data["scenario"]["level"] = "easy"
    with pytest.raises(NotAnExercise, match="level"):
        debrief_of(events)


@pytest.mark.parametrize("name", NAMES)
def test_the_reading_is_there(name: str) -> None:
    path, _, anchor = catalogue().scenarios[name].reading.partition("#")
    text = (ROOT / path).read_text(encoding="utf-8")
    anchors = {
        re.sub(r"[^a-z0-9 -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in text.splitlines() if line.startswith("#")
    }  # fmt: skip
    assert anchor in anchors
