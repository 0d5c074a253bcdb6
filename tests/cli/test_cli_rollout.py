"""`tierdrill rollout` as it is typed: where an entry stands, and putting it elsewhere with author and reason."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.support import copied_catalogue, tierdrill
from tests.cli.test_cli_surface import complete
from tierdrill.cli.drill_documents import whole_catalogue
from tierdrill.schedule.rollout.rollout_stages import RunResult
from tierdrill.schedule.rollout.rollout_store import RolloutStore

CALENDAR = """apiVersion: tierdrill/v1
kind: Calendar
metadata: {name: team}
entries:
  - name: team-nightly
    drill: node-loss
    cron: "0 2 * * *"
    rollout:
      stages:
        - {name: twin, variant: blip, clean_runs: 2}
        - {name: pilot, variables: {node: node-3}, reach: {links: 0}, clean_runs: 1}
        - name: all
  - name: team-weekly
    drill: slow-link
    cron: "0 4 * * sun"
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = copied_catalogue(tmp_path / "docs")
    (root / "drills" / "team.yaml").write_text(CALENDAR)
    return root


def test_it_shows_where_an_entry_stands_and_how_it_came_there(tmp_path: Path, root: Path) -> None:
    home = tmp_path / "home"
    shown = tierdrill(home, "--catalogue", root, "rollout", "show", "team-nightly")
    assert shown.out == (
        "team/team-nightly: [twin] > pilot > all\n  0 of 2 clean proven runs in a row before the next stage\n"
    )
    assert not (home / "rollout.db").exists()
    rollout = whole_catalogue(root).calendars["team"].entry("team-nightly").rollout
    assert rollout is not None
    with closing(RolloutStore(home)) as store:
        for run in ("r1", "r2"):
            store.after_run("team", "team-nightly", rollout, RunResult(run, "passed", 1e9, "twin", clean=True))
    out = tierdrill(home, "--catalogue", root, "rollout", "show").out
    assert "team/team-nightly: twin > [pilot] > all" in out
    assert "climbed  twin > pilot  2 clean proven runs at stage twin" in out


def test_it_is_set_by_hand_with_author_and_reason_only(tmp_path: Path, root: Path) -> None:
    home = tmp_path / "home"

    def put(*words: str) -> tuple[int, str]:
        done = tierdrill(home, "--catalogue", root, "rollout", "set", *words)
        assert len((done.out + done.err).splitlines()) == 1
        return done.code, done.out + done.err

    assert put("team-nightly", "all")[0] == 2
    assert put("team-nightly", "all", "--reason", " ")[0] == 2
    assert "did you mean pilot?" in put("team-nightly", "pilots", "--reason", "x")[1]
    assert "did you mean team/team-nightly?" in put("team/team-nightl", "all", "--reason", "x")[1]
    code, said = put("team/team-nightly", "all", "--reason", "reviewed in the weekly", "--author", "Ada")
    assert (code, said) == (0, "team/team-nightly: from twin to all, by Ada: reviewed in the weekly\n")
    shown = json.loads(tierdrill(home, "--catalogue", root, "rollout", "show", "--json").out)
    (entry,) = [each for each in shown["rollouts"] if each["calendar"] == "team"]
    assert (entry["stage"], entry["clean"], entry["held"]) == ("all", 0, "")
    assert [(move["kind"], move["author"]) for move in entry["moves"]] == [("set", "Ada"), ("began", "")]


def test_completion_knows_entries(tmp_path: Path, root: Path) -> None:
    assert complete(tmp_path, f"tierdrill --catalogue {root} rollout set team-") == ["team-nightly", "team-weekly"]


@pytest.mark.parametrize(
    ("caps", "said"),
    [
        (("nodes=0",), "node"),
        (("node=1",), "expected KIND=N, where KIND is nodes, gpus, replicas, links, gateways or stores"),
    ],
)
def test_a_run_goes_no_further_than_its_reach(tmp_path: Path, root: Path, caps: tuple[str, ...], said: str) -> None:
    words = [word for cap in caps for word in ("--reach", cap)]
    done = tierdrill(tmp_path / "home", "--catalogue", root, "run", "node-loss", *words)
    assert done.code == 2
    assert said in done.err
    assert not (tmp_path / "home" / "runs").exists()
