"""Rollouts as documents write them: each stage is held against the drill and the environment it would run in."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.documents.support import good_catalogue
from tierdrill.documents.catalogue_reader import FROM_DOCUMENT, read_catalogue
from tierdrill.documents.check.calendars import check_rollout, narrowed
from tierdrill.documents.check.check_context import Context
from tierdrill.documents.models.environment import BlastRadius
from tierdrill.documents.models.staged_rollout import Reach, Rollout
from tierdrill.documents.reading.located_errors import problems_of
from tierdrill.documents.reading.reading_state import Place
from tierdrill.documents.reading.yaml_positions import read_text

GOOD = """owner: platform
stages:
  - {name: twin, variant: blip, clean_runs: 2}
  - {name: pilot, variables: {node: node-3}, reach: {nodes: 1, links: 0}}
  - {name: all, environment: lab}
"""


def read(root: Path, text: str, drills: tuple[str, ...] = ("node-loss",)) -> list[str]:
    """Everything wrong with the rollout, beside the good catalogue."""
    reading = read_catalogue(root)
    sources, problems = read_text("some.yaml", text.encode())
    assert not problems, problems
    try:
        rollout = Rollout.model_validate(sources[0].data, context=FROM_DOCUMENT)
    except ValidationError as error:
        return [str(one) for one in problems_of(error, sources[0], Rollout)]
    check_rollout(Context(reading, None), Place(sources[0], problems), rollout, drills, None)
    return [str(one) for one in problems]


def test_a_good_rollout_has_no_problem(tmp_path: Path) -> None:
    assert read(good_catalogue(tmp_path), GOOD) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("name: all", "name: twin", "a second stage 'twin'"),
        (
            "node: node-3", "nod: node-3",
            "4:31: drill node-loss has no variable 'nod'; its variables: node (did you mean node?)",
        ),
        ("node: node-3", "node: node-9", "4:37: no node named 'node-9', expected node-1, node-2 or node-3"),
        ("nodes: 1", "nodes: 0", "1 node at a time (node-3); environment lab allows 0 (blast_radius.nodes)"),
        ("nodes: 1", "nodes: 2", "a reach of 2 nodes; at most 1, as environment lab allows (blast_radius.nodes)"),
        ("environment: lab", "environment: lap", "5:30: no environment named 'lap', expected lab (did you mean lab?)"),
        ("environment: lab", "drill: nodeloss", "no drill named 'nodeloss'"),
        ("clean_runs: 2", "clean_runs: 0", "expected a number of at least 1"),
        (
            "variables: {node: node-3}, reach: {nodes: 1, links: 0}", "variant: blip",
            "4:12: stage pilot does what twin does",
        ),
        ("owner: platform", "stale_after: 0s", "stale_after 0s; a time above 0"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_at_its_place(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in GOOD
    found = read(good_catalogue(tmp_path), GOOD.replace(old, new, 1))
    assert said in "\n".join(found)
    assert len(found) == 1


def test_one_stage_is_no_rollout(tmp_path: Path) -> None:
    found = read(good_catalogue(tmp_path), "stages: [{name: all}]\n")
    assert found == ["some.yaml:1:1: stages: got a list of 1, expected a list of at least 2"]


def test_variables_need_one_drill_to_be_laid_over(tmp_path: Path) -> None:
    found = read(good_catalogue(tmp_path), GOOD, drills=("node-loss", "slow-link"))
    assert found == [
        "some.yaml:4:19: variables of a stage without a drill; a stage of an entry of several drills names its drill"
    ]


def test_a_blip_stage_needs_a_blip_twin(tmp_path: Path) -> None:
    root = good_catalogue(tmp_path)
    path = root / "drills" / "node-loss.yaml"
    path.write_text(path.read_text().replace("blip: {fault: 1s}", ""))
    assert "drill node-loss has no blip twin" in "\n".join(read(root, GOOD))


def test_a_blip_stage_of_several_drills_needs_all_their_twins(tmp_path: Path) -> None:
    root = good_catalogue(tmp_path)
    text = (root / "drills" / "node-loss.yaml").read_text()
    other = text.replace("name: node-loss", "name: other").replace("blip: {fault: 1s}", "")
    (root / "drills" / "other.yaml").write_text(other)
    stages = "stages: [{name: twins, variant: blip}, {name: all}]\n"
    assert read(root, stages, ("node-loss", "other")) == [
        "some.yaml:1:33: drill other has no blip twin; variant: drill (did you mean drill?)"
    ]


def test_a_reach_only_narrows(tmp_path: Path) -> None:
    environment = read_catalogue(good_catalogue(tmp_path)).catalogue.environments["lab"]
    before = environment.blast_radius
    cut = narrowed(environment, Reach(nodes=0, links=99)).blast_radius
    assert cut == BlastRadius(nodes=0, gpus=before.gpus, replicas=before.replicas, links=before.links)
    assert narrowed(environment, Reach()) == environment
    none = narrowed(environment, Reach(gateways=0, stores=0)).limits.most
    assert none == {**environment.limits.most, "gateway": 0, "store": 0}
    assert list(Reach.model_fields) == list(BlastRadius.model_fields)
