"""Other people's experiments: Chaos Toolkit's own check decides, ours warns, and nobody is kept from anything else."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.documents.support import DRILL, EXPERIMENT, HERE, changed, good_catalogue
from tierdrill.documents.catalogue import Catalogue
from tierdrill.documents.catalogue_reader import load_catalogue
from tierdrill.documents.problems import Problem

OWN = Path("experiments/own")
# One document of each kind; the comment that begins it is its name.
KINDS = {
    match[1]: document.strip() + "\n"
    for document in (HERE / "stock_kinds.yaml").read_text(encoding="utf-8").split("\n---\n")
    if (match := re.match(r"# ([a-z0-9-]+)\n", document))
}
# Runs every experiment of stdin dry, as `chaos run --dry activities` does, and says what became of each.
DRY = """
import json, logging, sys
from chaoslib.experiment import run_experiment
from chaoslib.types import Dry
logging.disable(logging.CRITICAL)
ended = {}
for name, experiment in json.load(sys.stdin).items():
    journal = run_experiment({**experiment, "dry": Dry.ACTIVITIES}, settings={})
    played = [one["status"] for one in (*journal["run"], *journal["rollbacks"])]
    ended[name] = [journal["status"], all(status == "succeeded" for status in played)]
print(json.dumps(ended))
"""


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> tuple[Catalogue, list[Problem]]:
    """A catalogue that has one of each kind beside its own documents."""
    root = good_catalogue(tmp_path_factory.mktemp("stock"))
    (root / OWN).mkdir()
    for name, text in KINDS.items():
        (root / OWN / f"{name}.yaml").write_text(text, encoding="utf-8")
    return load_catalogue(root)


def with_experiment(root: Path, text: str, name: str = "stock.yaml") -> tuple[Catalogue, list[str]]:
    """The good catalogue with this experiment beside its own."""
    (root / OWN).mkdir(exist_ok=True)
    (root / OWN / name).write_text(text, encoding="utf-8")
    catalogue, problems = load_catalogue(root)
    return catalogue, [str(problem) for problem in problems]


def test_there_are_enough_kinds() -> None:
    assert len(KINDS) >= 57


def test_every_kind_of_stock_file_validates(stock: tuple[Catalogue, list[Problem]]) -> None:
    catalogue, problems = stock
    assert problems == [] and catalogue.excused == []
    assert {f"own/{name}" for name in KINDS} <= set(catalogue.experiments)


def test_every_kind_of_stock_file_runs_dry(stock: tuple[Catalogue, list[Problem]]) -> None:
    catalogue, _ = stock
    wanted = {name: catalogue.experiments[f"own/{name}"].content for name in KINDS}
    values = {
        one["key"]: "1"
        for content in wanted.values()
        for section in (content.get("configuration", {}), *content.get("secrets", {}).values())
        for one in section.values()
        if isinstance(one, dict) and one.get("type") == "env"
    }
    done = subprocess.run(
        [sys.executable, "-P", "-c", DRY],
        input=json.dumps(wanted),
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **values},
    )
    assert json.loads(done.stdout) == {name: ["completed", True] for name in KINDS}


def test_what_is_missing_on_this_machine_is_a_warning_at_its_place(stock: tuple[Catalogue, list[Problem]]) -> None:
    catalogue, _ = stock
    told = [str(one) for one in catalogue.warnings if "database-failover" in one.path]
    rows = KINDS["database-failover"].splitlines()
    (line,) = [number for number, row in enumerate(rows, 1) if "chaosaws" in row]
    where = f"experiments/own/database-failover.yaml:{line}:{rows[line - 1].index('chaosaws') + 1}"
    what = "chaosaws.rds.actions cannot be imported here: ModuleNotFoundError"
    assert any(row.startswith(f"{where}: {what}") for row in told), told
    program = [str(one) for one in catalogue.warnings if "pumba" in one.path]
    assert any("no program pumba here" in line for line in program)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("process-arguments-as-text", "process arguments as text, which Chaos Toolkit gives to a shell"),
        ("strategy-deviated", "strategy deviated; in a drill the rollbacks are always played"),
        ("two-actions-of-one-name", "a second action 'kill', which would have no intent of its own"),
        ("no-hypothesis-no-rollbacks", "action 'drain' has no rollback"),
        ("misspelled-and-unknown-keys", "unknown key 'rollback'"),
        ("unknown-variables", "${NOBODY_DEFINES_THIS} is not defined"),
        ("a-key-twice", "duplicate key 'title'"),
        ("octal-and-dates", "got 0644"),
        ("yes-and-no", "got 'yes'; Chaos Toolkit reads true (YAML 1.1): quote it"),
    ],
)
def test_where_our_rules_are_stricter_it_is_a_warning(
    stock: tuple[Catalogue, list[Problem]], kind: str, said: str
) -> None:
    assert any(f"own/{kind}.yaml" in one.path and said in str(one) for one in stock[0].warnings)


def test_values_are_those_that_chaos_toolkit_reads(stock: tuple[Catalogue, list[Problem]]) -> None:
    content = {name: stock[0].experiments[f"own/{name}"].content for name in KINDS}
    assert content["yes-and-no"]["steady-state-hypothesis"]["probes"][0]["tolerance"] is True
    assert content["yes-and-no"]["method"][0]["provider"]["verify_tls"] is False
    assert content["a-key-twice"]["title"] == "A title that stands twice"
    assert content["octal-and-dates"]["configuration"] == {"mode": 0o644, "since": "2020-01-01"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("title: t\ndescription: d\nmethod: [{type: action, name: x, provider: {type: pyhton}}]", "'pyhton'"),
        ("title: t\nmethod: []", "experiment requires a description"),
        ("title: t\ndescription: d", "an experiment requires a method"),
        ("title: t\ndescription: d\nmethod: [{ref: nobody}]", "referenced activity 'nobody' could not be found"),
        ("title: t\ndescription: d\nmethod: [7]", "its check ends in"),
        (
            "title: t\ndescription: d\nmethod: []\nsteady-state-hypothesis: {title: h, probes: [{type: probe, name: p, "
            "tolerance: 0.5, provider: {type: http, url: u}}]}",
            "tolerance must either be",
        ),
        (
            "title: t\ndescription: d\nmethod: [{type: action, name: x, provider: {type: python, module: os.path, "
            "func: exists, arguments: {path: /, pth: /}}}]",
            "argument 'pth' is not part of the function signature",
        ),
    ],
)
def test_what_chaos_toolkit_refuses_is_refused_where_a_drill_uses_it(tmp_path: Path, text: str, said: str) -> None:
    root = good_catalogue(tmp_path)
    catalogue, problems = with_experiment(root, text)
    assert problems == []
    assert any("Chaos Toolkit refuses it" in str(one) and said in str(one) for one in catalogue.excused)
    changed(root, DRILL, ("experiment: node/power-loss", "experiment: own/stock"))
    assert any("Chaos Toolkit refuses it" in line and said in line for line in with_experiment(root, text)[1])


@pytest.mark.parametrize("text", ["title: [", "- 1", "title: \x00", "", "<<: 1\ntitle: !!python/object:os.system x"])
def test_an_unused_file_that_cannot_be_read_blocks_nobody(tmp_path: Path, text: str) -> None:
    root = good_catalogue(tmp_path)
    catalogue, problems = with_experiment(root, text)
    assert problems == [] and [one.path for one in catalogue.excused] == ["experiments/own/stock.yaml"] * len(
        catalogue.excused
    )
    assert catalogue.excused
    changed(root, DRILL, ("experiment: node/power-loss", "experiment: own/stock"))
    assert any(line.startswith("experiments/own/stock.yaml") for line in with_experiment(root, text)[1])


def test_an_experiment_of_ours_that_no_drill_uses_blocks_nobody_either(tmp_path: Path) -> None:
    root = good_catalogue(tmp_path)
    text = (root / EXPERIMENT).read_text(encoding="utf-8").replace("power_off_node", "power_of_node")
    catalogue, problems = with_experiment(root, text)
    assert problems == [] and any("no action named 'power_of_node'" in str(one) for one in catalogue.excused)


@pytest.mark.parametrize("kind", ["two-actions-of-one-name", "no-hypothesis-no-rollbacks"])
def test_a_fault_that_nobody_could_undo_is_refused_where_a_drill_uses_it(tmp_path: Path, kind: str) -> None:
    root = good_catalogue(tmp_path)
    changed(root, DRILL, ("experiment: node/power-loss", "experiment: own/stock"))
    _, problems = with_experiment(root, KINDS[kind])
    said = "a second action 'kill'" if kind.startswith("two") else "action 'drain' has no rollback"
    assert any(said in line for line in problems)


@pytest.mark.parametrize("edit", ["same", "ref"])
def test_the_same_action_twice_is_no_second_one(tmp_path: Path, edit: str) -> None:
    action: dict[str, Any] = {"type": "action", "name": "kill", "provider": {"type": "process", "path": "true"}}
    method = [action, action if edit == "same" else {"ref": "kill"}]
    text = json.dumps({"title": "t", "description": "d", "method": method, "rollbacks": [action]})
    catalogue, problems = with_experiment(good_catalogue(tmp_path), text, "stock.json")
    assert problems == [] and catalogue.excused == [] and not any("second" in str(one) for one in catalogue.warnings)


def test_an_extension_that_ends_the_process_or_prints_is_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extension = tmp_path / "extension"
    extension.mkdir()
    (extension / "loud.py").write_text("print('[]')\ndef act(): pass\n")
    (extension / "deadly.py").write_text("import os\nos._exit(0)\n")
    monkeypatch.setenv("PYTHONPATH", str(extension))
    root = good_catalogue(tmp_path / "catalogue")
    for name in ("loud", "deadly"):
        action = f"{{type: action, name: a, provider: {{type: python, module: {name}, func: act}}}}"
        with_experiment(root, f"title: t\ndescription: d\nmethod: [{action}]\nrollbacks: [{action}]", f"{name}.yaml")
    catalogue, problems = load_catalogue(root)
    assert problems == []
    assert ["deadly" in one.path and "could not be asked" in str(one) for one in catalogue.excused] == [True]


def test_chaos_toolkit_is_not_asked_about_what_nobody_uses_unless_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = good_catalogue(tmp_path)
    with_experiment(root, "title: t\ndescription: of nobody\nmethod: []")

    def asked(experiments: list[dict[str, Any]]) -> list[Any]:
        raise AssertionError(experiments)

    monkeypatch.setattr("tierdrill.documents.reading.chaoslib_check.ask", asked)
    assert load_catalogue(root, unused=False)[1] == []
    with pytest.raises(AssertionError, match="of nobody"):
        load_catalogue(root)


@pytest.mark.parametrize(
    ("path", "count", "holds"), [("$.items[*].name", 2, True), ("$.items[*].name", 3, False), ("$..name", 2, True)]
)
def test_jsonpath_tolerances_are_judged(path: str, count: int, holds: bool) -> None:
    from chaoslib.hypothesis import within_tolerance

    answer = {"items": [{"name": "a"}, {"name": "b"}]}
    assert within_tolerance({"type": "jsonpath", "path": path, "count": count}, answer) is holds
