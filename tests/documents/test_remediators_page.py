"""The examples of docs/remediators.md: each is a document without a problem, and the first does what its table says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.documents.support import good_catalogue, problems
from tests.judge.test_observed import FAULT_AT, WELL, history, setting
from tierdrill.documents.catalogue import DrillSetting
from tierdrill.history.events import event
from tierdrill.history.kinds.response_kinds import RemediationSeen
from tierdrill.history.kinds.run_kinds import PlatformCondition
from tierdrill.judge.judge import judge
from tierdrill.judge.verdict import Status

PAGE = (Path(__file__).resolve().parents[2] / "docs/remediators.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.S)
PLAYBOOKS = [block for block in BLOCKS if "kind: Playbook" in block]
EXPECTED = next(yaml.safe_load(block) for block in BLOCKS if block.startswith("expect:"))["expect"]["playbooks"]


@pytest.mark.parametrize("text", PLAYBOOKS, ids=lambda text: yaml.safe_load(text)["metadata"]["name"])
def test_each_is_a_document_without_a_problem(text: str, tmp_path: Path) -> None:
    root = good_catalogue(tmp_path)
    (root / "playbooks/example.yaml").write_text(text)
    assert problems(root) == []


def failed(
    without: tuple[str, ...] = (), node: str = "node-2", late: float = 0.0, again: bool = False, within: str = "60s"
) -> set[str]:
    """The aspects of the first example's checks that fail, where its tool does this."""
    data = setting().to_json()
    playbook = yaml.safe_load(PLAYBOOKS[0])
    wanted = {**EXPECTED, "must_fire": [{**EXPECTED["must_fire"][0], "within": within}]}
    data["playbooks"], data["drill"]["expect"]["playbooks"] = [playbook], wanted
    told = [(1.0, PlatformCondition(object="node-2", condition="GpuXid", status="True"))]
    for at, said in WELL:
        if isinstance(said, RemediationSeen):
            if said.do not in without:
                values = {**vars(said), "node": node, "object": node if said.object == "node-2" else said.object}
                told.append((at if said.do == "uncordon" else at + late, RemediationSeen(**values)))
        elif not (isinstance(said, PlatformCondition) or ("evict" in without and at > 0)):
            told.append((at + (late if at > 0 else 0.0), said))
    told += [(at, RemediationSeen(do=do, object=node, node=node, actor="draino")) for at, do in AGAIN if again]
    made = [event(said, "kubernetes", FAULT_AT + at) for at, said in told]
    found = judge(history(made, DrillSetting.from_json(data)))
    prefix = f"playbook/{playbook['metadata']['name']}/"
    wrong = [one.id for one in found.checks if one.group == "playbook" and one.status is Status.FAILED]
    return {one.removeprefix(prefix) for one in wrong}


AGAIN = ((8.0, "uncordon"), (9.0, "cordon"), (10.0, "uncordon"))


def test_the_first_passes_and_fails_as_its_table_says() -> None:
    assert failed() == set()
    assert failed(without=("cordon", "evict", "uncordon")) == {"fired", "target", "deadline", "count"}
    assert {"target", "cause"} <= failed(node="node-3")
    assert failed(again=True) == {"count"}
    assert "fired" in failed(without=("evict",))
    assert failed(without=("uncordon",)) == {"given-back"}
    assert failed(late=8.0, within="10s") == {"deadline", "effect"}
