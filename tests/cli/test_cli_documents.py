"""Commands about documents: init, list, validate, schema, plan."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.cli.support import ROOT, copied_catalogue, tierdrill
from tests.judge.nights import DAY, FIRST, nights
from tests.shipped import shipped_documents
from tierdrill.cli.commands.listing import proofs_of
from tierdrill.cli.main import main
from tierdrill.documents.catalogue import KINDS
from tierdrill.faults.known_kinds import KINDS as FAULT_KINDS
from tierdrill.targets.target_registry import targets

SHIPPED = shipped_documents()
DRILLS = tuple(sorted(SHIPPED.drills))


def test_init_makes_a_catalogue_that_validates_and_never_overwrites(tmp_path: Path) -> None:
    home, mine = tmp_path / "home", tmp_path / "mine"
    assert tierdrill(home, "init", mine).code == 0
    assert tierdrill(home, "validate", cwd=mine).code == 0
    text = (mine / "drills" / "node-loss.yaml").read_text()
    assert text.startswith("# yaml-language-server: $schema=")
    named = text.splitlines()[0].partition("=")[2]
    assert json.loads((mine / "drills" / named).read_text())["title"] == "tierdrill Drill"
    for part in ("drills/platform/tiers.yaml", "experiments/node/power-loss.yaml", "playbooks/shift-traffic.yaml"):
        assert (mine / part).is_file()
    (mine / "drills" / "node-loss.yaml").write_text("mine")
    again = tierdrill(home, "init", mine)
    assert again.code == 2
    assert "nothing is overwritten" in again.err
    assert (mine / "drills" / "node-loss.yaml").read_text() == "mine"
    assert not home.exists()


def test_init_that_cannot_finish_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(source), None, str(target))

    monkeypatch.setattr("shutil.copyfile", full)
    assert main(["--home", str(tmp_path / "home"), "init", str(tmp_path / "mine")]) == 3
    assert list((tmp_path / "mine").iterdir()) == []


def test_the_working_directory_is_the_catalogue_where_it_has_drills(tmp_path: Path) -> None:
    copied_catalogue(tmp_path / "mine")
    (tmp_path / "mine" / "drills" / "slow-link.yaml").unlink()
    here = json.loads(tierdrill(tmp_path / "home", "list", "--json", cwd=tmp_path / "mine").out)
    elsewhere = json.loads(tierdrill(tmp_path / "home", "list", "--json", cwd=tmp_path).out)
    assert [drill["name"] for drill in here["drills"]] == [name for name in DRILLS if name != "slow-link"]
    assert [drill["name"] for drill in elsewhere["drills"]] == list(DRILLS)


def test_list_shows_every_kind(tmp_path: Path) -> None:
    shown = tierdrill(tmp_path, "list").out
    for word in ("drills", "playbooks", "experiments", "tiers", "environments", "node/power-loss", "critical"):
        assert word in shown
    one = json.loads(tierdrill(tmp_path, "list", "tiers", "--json").out)
    assert [tier["rank"] for tier in one["tiers"]] == [1, 2, 3]
    assert "drills" not in one


def test_list_drills_says_when_each_was_last_proven(tmp_path: Path) -> None:
    listed = json.loads(tierdrill(tmp_path, "list", "drills", "--json").out)["drills"]
    assert [row["name"] for row in listed] == list(DRILLS)
    assert {tuple(row["proof"]) for row in listed} == {("never proven",)}
    runs = nights(count=2, proofs_every=30)
    assert proofs_of(runs, FIRST + 12 * DAY) == {"node-loss": ["proven 12 days ago (lab)"]}
    assert proofs_of(nights(count=2, proofs_every=0), FIRST + DAY) == {
        "node-loss": ["not proven yet: no run of blip twin and 2 more (lab)"]
    }


def test_list_faults_says_how_each_target_does_it_or_why_not(tmp_path: Path) -> None:
    listed = json.loads(tierdrill(tmp_path, "list", "faults", "--json").out)
    assert set(listed) == {"catalogue", "problems", "faults"}
    rows = {row["name"]: row for row in listed["faults"]}
    assert list(rows) == list(FAULT_KINDS)
    for name, target in targets().items():
        there = target.mechanisms()
        assert all(row[name] == there[kind].text for kind, row in rows.items() if kind in there)
        assert all(row[name].startswith("not there, ") for kind, row in rows.items() if there and kind not in there)
    assert {"blind-node", "double-failure", "gpu-fallen-off-bus"} <= {*rows["gpu-fallen-off-bus"]["drills"]}
    shown = tierdrill(tmp_path, "list", "--faults").out
    assert "not there, the lab has no mechanism for it" in " ".join(shown.split())
    assert tierdrill(tmp_path, "list", "drills", "--faults").code == 2


def test_validate_shows_every_problem_with_its_place_as_seen_from_here(tmp_path: Path) -> None:
    copied_catalogue(tmp_path / "mine")
    drill = tmp_path / "mine" / "drills" / "node-loss.yaml"
    drill.write_text(drill.read_text().replace("experiment: node/power-loss", "experiment: node/power-los"))
    tiers = tmp_path / "mine" / "drills" / "platform" / "tiers.yaml"
    tiers.write_text(tiers.read_text().replace("rank: 1", "rank: one", 1))
    done = tierdrill(tmp_path / "home", "--catalogue", "mine", "validate", cwd=tmp_path)
    assert done.code == 2
    line = next(line for line in done.out.splitlines() if "power-los" in line)
    place, _, _ = line.partition(": ")
    path, number, column = place.split(":")
    assert (tmp_path / path).resolve() == drill
    assert drill.read_text().splitlines()[int(number) - 1][int(column) - 1 :].startswith("node/power-los")
    assert any("platform/tiers.yaml" in line for line in done.out.splitlines())
    problems = json.loads(tierdrill(tmp_path / "home", "--catalogue", "mine", "validate", "--json", cwd=tmp_path).out)
    assert problems["ok"] is False
    assert len(problems["problems"]) == len(done.out.splitlines())


def test_validate_of_one_file_tells_only_of_that_file_but_knows_the_others(tmp_path: Path) -> None:
    copied_catalogue(tmp_path / "mine")
    drill = tmp_path / "mine" / "drills" / "node-loss.yaml"
    drill.write_text(drill.read_text().replace("template: usual", "template: usual\nenvironment: moon"))
    fine = tierdrill(tmp_path / "home", "validate", tmp_path / "mine" / "drills" / "slow-link.yaml")
    assert fine.code == 0, fine.out
    assert fine.out.startswith("1 document ")
    wrong = tierdrill(tmp_path / "home", "validate", drill)
    assert wrong.code == 2
    assert all("node-loss.yaml" in line for line in wrong.out.splitlines())


def test_validate_reads_whatever_file_it_is_given(tmp_path: Path) -> None:
    drills = copied_catalogue(tmp_path / "mine") / "drills"
    (drills / ".hidden").mkdir()
    for name in ("drill.txt", ".draft.yaml", ".hidden/other.yaml"):
        (drills / name).write_text("kind: Drll\n")
        done = tierdrill(tmp_path / "home", "validate", drills / name)
        assert done.code == 2, name
        assert f"{name}:1:7: kind: got 'Drll'" in done.out
    assert tierdrill(tmp_path / "home", "validate", drills.parent).code == 0


def test_a_folder_is_read_as_its_catalogue_is(tmp_path: Path) -> None:
    """The schemas for editors beside the drills are no documents."""
    own = copied_catalogue(tmp_path / "own")
    (own / "drills" / "schema").mkdir(exist_ok=True)
    for room in ("drills/schema", "experiments"):
        (own / room / "broken.json").write_text('{"title": "Drill"}')
    assert tierdrill(tmp_path / "home", "validate", own / "drills").code == 0
    assert "broken.json" in tierdrill(tmp_path / "home", "validate", own / "experiments").out


def test_documents_in_json_are_read_and_other_json_is_named(tmp_path: Path) -> None:
    own = copied_catalogue(tmp_path / "own")
    drill = own / "drills" / "slow-link.yaml"
    (read,) = yaml.safe_load_all(drill.read_text())
    drill.with_suffix(".json").write_text(json.dumps(read | {"guardrials": []}))
    drill.unlink()
    (own / "drills" / "monday.json").write_text('{"at": 1}\n{"at": 2}\n')
    done = tierdrill(tmp_path / "home", "validate", own)
    assert "drills/slow-link.json:1:" in done.out
    assert "(did you mean guardrails?)" in done.out
    assert f"warning: {own}/drills/monday.json:1:1: no document, and not read; " in done.out


def test_validate_counts_documents_and_not_files(tmp_path: Path) -> None:
    own = copied_catalogue(tmp_path / "own")
    files = sorted((own / "drills").glob("slow-link*.yaml"))[:2]
    together = own / "drills" / "two.yaml"
    together.write_text("---\n".join(file.read_text() for file in files))
    for file in files:
        file.unlink()
    assert "2 documents in " in tierdrill(tmp_path / "home", "validate", together).out
    together.write_text(together.read_text().replace("experiment:", "experimant:"))
    assert tierdrill(tmp_path / "home", "validate", together).err.endswith("problems in 1 file\n")


def test_files_that_are_none_and_links_in_a_circle_are_problems(tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    (folder / "circle.yaml").symlink_to("circle.yaml")
    (folder / "endless.yaml").symlink_to("/dev/zero")
    os.mkfifo(folder / "pipe.yaml")
    with (folder / "sparse.yaml").open("wb") as file:
        file.truncate(1 << 40)
    done = tierdrill(tmp_path / "home", "validate", folder)
    assert done.code == 2, done.err
    said = {line.split(":")[0].rpartition("/")[2]: line.split(": ", 1)[1] for line in done.out.splitlines()}
    assert said == {
        "circle.yaml": "cannot be read: Too many levels of symbolic links; a readable file",
        "endless.yaml": "cannot be read: it is a device, a pipe or a socket; a readable file",
        "pipe.yaml": "cannot be read: it is a device, a pipe or a socket; a readable file",
        "sparse.yaml": "more than 1000000 bytes; a file of documents is far smaller",
    }


EXTERNAL = """
apiVersion: tierdrill/v1
kind: Playbook
metadata: {name: reschedule-critical, owner: team}
engine: external
match: {alert: NodeNotReady}
target: ${labels.node}
target_kind: node
external: {tool: stackstorm, secret_env: STACKSTORM_SECRET, webhook: "http://127.0.0.1:9101/alerts"}
"""


def test_a_run_is_refused_where_a_tool_that_must_act_has_no_secret(tmp_path: Path) -> None:
    copied_catalogue(tmp_path / "mine")
    (tmp_path / "mine" / "playbooks" / "reschedule-critical.yaml").write_text(EXTERNAL)
    drill = tmp_path / "mine" / "drills" / "node-loss.yaml"
    drill.write_text(drill.read_text().partition("\nsabotages:")[0] + "\n")  # they break remedies of ours
    done = tierdrill(tmp_path / "home", "run", "node-loss", cwd=tmp_path / "mine")
    assert done.code == 2
    assert "STACKSTORM_SECRET is not set" in done.err
    assert not (tmp_path / "home" / "runs").exists()


def test_a_run_is_refused_where_the_documents_have_problems(tmp_path: Path) -> None:
    copied_catalogue(tmp_path / "mine")
    drill = tmp_path / "mine" / "drills" / "node-loss.yaml"
    drill.write_text(drill.read_text() + "surprise: true\n")
    done = tierdrill(tmp_path / "home", "run", "node-loss", cwd=tmp_path / "mine")
    assert done.code == 2
    assert "drills/node-loss.yaml:" in done.err
    assert not (tmp_path / "home" / "runs").exists()


def test_a_broken_draft_of_another_drill_keeps_nobody_from_anything(tmp_path: Path) -> None:
    root = copied_catalogue(tmp_path)
    draft = (root / "drills" / "node-loss.yaml").read_text().replace("name: node-loss", "name: draft", 1)
    (root / "drills" / "draft.yaml").write_text(draft.replace("rate:", "speed:"))
    for using in (["plan", "node-loss"], ["tiers", "export", "sloth"]):
        done = tierdrill(tmp_path / "home", "--catalogue", root, *using)
        assert done.code == 0 and "in documents that this does not use" in done.err, using
    done = tierdrill(tmp_path / "home", "--catalogue", root, "plan", "draft")
    assert done.code == 2 and "speed" in done.out + done.err


def test_a_broken_playbook_stops_every_drill(tmp_path: Path) -> None:
    root = copied_catalogue(tmp_path)
    (root / "playbooks" / "draft.yaml").write_text("kind: Playbook\n")
    done = tierdrill(tmp_path / "home", "--catalogue", root, "plan", "node-loss")
    assert done.code == 2 and "playbooks/draft.yaml" in done.out + done.err


def test_a_drill_that_cannot_be_read_is_the_only_one_to_be_told(tmp_path: Path) -> None:
    root = copied_catalogue(tmp_path)
    broken = "apiVersion: tierdrill/v1\nkind: Drill\nmetadata: {name: node-loss}\n"
    (root / "drills" / "node-loss.yaml").write_text(broken)
    done = tierdrill(tmp_path / "home", "--catalogue", root, "validate")
    assert done.code == 2
    assert {Path(line.partition(":")[0]).name for line in done.out.splitlines()} == {"node-loss.yaml"}


def test_a_folder_without_documents_has_no_list(tmp_path: Path) -> None:
    done = tierdrill(tmp_path / "home", "--catalogue", tmp_path, "list")
    assert done.code == 2 and "no documents" in done.out + done.err


def test_schema_prints_and_writes(tmp_path: Path) -> None:
    printed = json.loads(tierdrill(tmp_path, "schema", "playbook").out)
    assert printed["properties"]["kind"]
    written = tierdrill(tmp_path, "schema", "--write", tmp_path / "schemas").out.split()
    assert json.loads((tmp_path / "schemas" / "playbook.json").read_text()) == printed
    assert len(written) == len(KINDS) + 1


VARIANTS = [
    (name, variant)
    for name, drill in sorted(SHIPPED.drills.items())
    for variant in ("drill", *(["blip"] if drill.blip else []), f"sabotage:{drill.sabotages[0].name}")
]


@pytest.fixture
def plan_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What `tierdrill plan` prints, in this process, of the shipped catalogue as it was read once."""
    monkeypatch.setattr("tierdrill.cli.drill_documents.usable_catalogue", lambda *arguments: SHIPPED)

    def plan(*words: str) -> str:
        assert main(["--home", str(tmp_path / "home"), "plan", *words]) == 0
        return capsys.readouterr().out

    return plan


@pytest.mark.parametrize(("drill", "variant"), VARIANTS)
def test_plan_shows_faults_phases_and_load_and_touches_nothing(
    tmp_path: Path, plan_of: Callable[..., str], drill: str, variant: str
) -> None:
    plan = json.loads(plan_of(drill, "--variant", variant, "--json"))
    assert [phase["phase"] for phase in plan["phases"]] == ["warm-up", "baseline", "fault", "recovery"]
    assert plan["faults"][0]["mechanism"]
    assert (plan["sabotage"] is not None) == variant.startswith("sabotage")
    if variant == "drill":
        assert all(tier["judged"] >= (tier["needed"] or 0) for tier in plan["load"])
        assert plan["seconds"] <= 75
    shown = plan_of(drill, "--variant", variant)
    judged = [power for tier in plan["load"] for power in tier["power"]]
    assert bool(judged) == (variant != "blip")
    assert all(power["passes_typical"] is None or power["passes_typical"] >= 0.95 for power in judged)
    if judged:
        critical = plan["load"][0]
        assert critical["notices_s"] == min(one["notices_s"] for one in critical["power"] if one["notices_s"])
        assert f"notices: critical {critical['notices_s']:.1f} s" in shown
    assert plan["faults"][0]["target"] in shown
    assert "Nothing was changed." in shown
    assert not (tmp_path / "home").exists()


def test_plan_and_run_say_what_the_lab_of_a_drill_lacks_here(
    tmp_path: Path, plan_of: Callable[..., str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TIERDRILL_ETCD", str(tmp_path / "nowhere"))
    lacks = f"TIERDRILL_ETCD names {tmp_path / 'nowhere'}, which is not a program"
    assert lacks in json.loads(plan_of("quorum-lost", "--json"))["missing_here"]
    assert "cannot be run here: TIERDRILL_ETCD names" in plan_of("quorum-lost")
    assert "missing_here" not in json.loads(plan_of("node-loss", "--json"))  # only that lab has a state store
    assert main(["--home", str(tmp_path / "home"), "run", "quorum-lost"]) == 2
    assert lacks in capsys.readouterr().err


def test_plan_as_a_program_touches_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    shown = tierdrill(home, "plan", "node-loss", "--variant", "blip")
    assert shown.code == 0 and "Nothing was changed." in shown.out
    assert not home.exists()


def test_a_recording_beside_the_drill_is_found_from_any_directory(tmp_path: Path) -> None:
    root = copied_catalogue(tmp_path / "mine")
    drill = root / "drills" / "node-loss.yaml"
    shape = "rate: 50/s\n      shape: {kind: replay, file: monday.jsonl}"
    drill.write_text(drill.read_text().replace("rate: 50/s", shape))
    arrivals = "".join(f'{{"at": {number / 50}, "stream": "enterprise"}}\n' for number in range(2400))
    (root / "drills" / "monday.jsonl").write_text(arrivals)
    done = tierdrill(tmp_path / "home", "--catalogue", root, "plan", "node-loss", "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    critical = next(tier for tier in json.loads(done.out)["load"] if tier["tier"] == "critical")
    assert critical["sent"] > 2400


def test_the_shipped_catalogue_needs_no_working_directory(tmp_path: Path) -> None:
    assert tierdrill(tmp_path / "home", "validate", cwd=Path("/")).code == 0
    assert tierdrill(tmp_path / "home", "validate", ROOT).code == 0


def test_a_cluster_that_is_not_described_is_told_by_every_command_at_the_same_place(tmp_path: Path) -> None:
    mine = copied_catalogue(tmp_path / "mine")
    path = mine / "drills" / "platform" / "lab.yaml"
    path.write_text(path.read_text().replace("target: lab", "target: kubernetes"))
    line = next(number for number, text in enumerate(path.read_text().splitlines(), 1) if text.startswith("target:"))
    told = f"drills/platform/lab.yaml:{line}:1: target: kubernetes without kubernetes; kubernetes with a context"
    for command in ("validate", "plan node-loss", "run node-loss", "prove node-loss", "train --draw"):
        done = tierdrill(tmp_path / "home", *command.split(), cwd=mine)
        assert done.code == 2 and told in done.out + done.err, command
