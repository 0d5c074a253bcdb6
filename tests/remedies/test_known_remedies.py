"""The registry of remedies and of facts: one record each, and everybody else reads it."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tierdrill.faults.kind import modules_by_kind
from tierdrill.judge.checks.remedy_effects import Witnesses
from tierdrill.lab.controller import remedy_actions as controller_remedies
from tierdrill.remedies import kinds
from tierdrill.remedies.facts import FACTS
from tierdrill.remedies.known_remedies import COMMANDS, REMEDIES, implemented
from tierdrill.targets.lab import remedy_port
from tierdrill.targets.lab.lab_facts import LabFacts
from tierdrill.training.ops import tier_rules as rules

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "runner/tierdrill"
PAGE = ROOT / "docs/playbooks.md"
ALSO_WORDS = {"shed", "cap", "cordon", "uncordon", "drain", "notify"}
"""Names that are also something else: a setting, the reason of a refusal, a command, what kubectl and other tools do to
a node. Beside another remedy's, in a table or a ladder, that one's name gives them away.
"""


def test_a_file_is_named_after_the_remedy_in_it() -> None:
    assert [name for name, _ in modules_by_kind(kinds)] == [one.name for one in REMEDIES.values()]
    assert len(REMEDIES) >= 15 and len(FACTS) >= 16


@pytest.mark.parametrize("name", REMEDIES)
def test_a_remedy_says_everything_and_names_only_what_there_is(name: str) -> None:
    one = REMEDIES[name]
    arguments = [argument.name for argument in one.arguments]
    assert len(set(arguments)) == len(arguments) and one.help.endswith(".")
    assert set(one.undo) <= set(REMEDIES) and set(one.changes) <= set(FACTS)
    assert bool(one.witness) == bool(one.look) == bool(one.seen) and (not one.look or hasattr(Witnesses, one.look))
    assert not one.forgets or one.forgets in arguments
    assert not one.tier_rule or one.tier_rule in rules._RULES
    # What it sets and does not put back itself, something does.
    assert one.harmless or bool(one.undo) == bool({*one.sets} - {"places"})
    if one.command:
        assert one in COMMANDS[one.command]


def test_the_lab_does_every_remedy_and_knows_every_fact() -> None:
    done = {*remedy_port._REMEDIES, *controller_remedies.REMEDIES}
    assert done == set(REMEDIES) and not set(remedy_port._REMEDIES) & set(controller_remedies.REMEDIES)
    asked = {name for name, one in FACTS.items() if not one.known_by_engine}
    assert {*implemented(FACTS, vars(LabFacts))} == asked


def named(text: str) -> Iterator[tuple[int, str]]:
    """Where a program has the name of a remedy or a fact as a value that is not handed over in a call: in a table, a
    ladder, a special case.
    """
    tree, words = ast.parse(text), {*REMEDIES, *FACTS} - ALSO_WORDS
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    handed = {id(one) for call in calls for one in (*call.args, *(keyword.value for keyword in call.keywords))}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node.value in words and id(node) not in handed:
            yield node.lineno, str(node.value)


def test_no_remedy_and_no_fact_is_named_in_a_second_table() -> None:
    programs = [path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE / "remedies/kinds"]
    found = [
        f"{path.relative_to(PACKAGE)}:{line}: {name}"
        for path in programs
        for line, name in named(path.read_text(encoding="utf-8"))
    ]
    assert len(programs) > 300 and found == []
    twice = 'TABLE = {"reschedule": 1, "cordon": 2}\nif name == "node.ready": do("rebalance")'
    assert list(named(twice)) == [(1, "reschedule"), (2, "node.ready")]
    for name, one in REMEDIES.items():
        path = PACKAGE / "remedies/kinds" / f"{name.replace('-', '_')}.py"
        said = {found for _, found in named(path.read_text(encoding="utf-8"))}
        assert said <= {name, *one.undo, *one.changes}


def table(head: Sequence[str], rows: Iterator[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def tables() -> dict[str, str]:
    """What the page on playbooks says of facts and remedies."""

    def values(fact: str) -> str:
        allowed = FACTS[fact].values
        said = allowed if isinstance(allowed, str) else ", ".join(f"`{one}`" for one in allowed)
        return f"{said} ({FACTS[fact].unit})" if FACTS[fact].unit else said

    def arguments(remedy: str) -> str:
        takes = REMEDIES[remedy].arguments
        named = ", ".join(f"`{one.name}`" if one.required else f"[`{one.name}`]" for one in takes)
        return "any" if REMEDIES[remedy].any_arguments else named

    books = [one for one in REMEDIES.values() if one.in_playbooks]
    seen: dict[tuple[str, str], list[str]] = {}
    for one in books:
        if one.witness:
            seen.setdefault((one.witness, one.seen), []).append(f"`{one.name}`")
    return {
        "FACTS": table(
            ("fact", "of", "value", "what it says"),
            ((f"`{name}`", one.subject or "all", values(name), one.text) for name, one in FACTS.items()),
        ),
        "REMEDIES": table(
            ("remedy", "arguments", "what it does", "changes", "taken back by"),
            (
                (f"`{one.name}`", arguments(one.name), one.help.rstrip("."), ", ".join(f"`{c}`" for c in one.changes),
                 ", ".join(f"`{back}`" for back in one.undo))
                for one in books
            ),
        ),
        "EFFECTS": table(
            ("remedy", "who sees the effect, and what"),
            ((", ".join(names), f"{witness}: {what}") for (witness, what), names in seen.items()),
        ),
    }  # fmt: skip


@pytest.mark.parametrize("name", ["FACTS", "REMEDIES", "EFFECTS"])
def test_the_page_on_playbooks_says_what_the_registry_says(name: str) -> None:
    assert tables()[name] in PAGE.read_text(encoding="utf-8")


FLUSH = """
from tierdrill.remedies.remedy import RemedyKind

KIND = RemedyKind(
    name="flush-cache", target="replica", help="Empty a REPLICA's cache.", command="flush-cache",
    changes=("replica.ready",), tier_rule="last-replica",
)
"""
DONE = """
    def flush_cache(self, arguments: Arguments) -> RemedyResult:
        self._client.flushed.append(arguments["replica"])
        return RemedyResult(True, "flushed")

"""
USE = """
import asyncio
import sys
from pathlib import Path
from types import SimpleNamespace

from click.testing import CliRunner

from tests.remediation.remediation_support import Bench, notice, playbook
from tests.documents.support import PLAYBOOK, changed, good_catalogue, lines
from tests.training.test_rules import SETTINGS, inventory, rule, situation
from tierdrill.cli.commands.ops import command
from tierdrill.documents.models.playbook import Playbook
from tierdrill.targets.lab.remedy_port import LabRemedies
from tierdrill.training.ops.action_parser import order_of

# Documents: it is known, and its argument is.
OLD = 'do: reschedule\\n    arguments: {node: "${target}", tiers: [critical, standard]}'
root = good_catalogue(Path(sys.argv[1]))
changed(root, PLAYBOOK, (OLD, "do: flush-cache\\n    arguments: {replca: a}"))
told = "\\n".join(lines(root))
assert "flush-cache without argument replica" in told and "did you mean replica?" in told, told
assert "flush-cache" in str(Playbook.model_json_schema())

# The engine: a playbook does it, through the lab's port.
port = object.__new__(LabRemedies)
port._client = SimpleNamespace(flushed=[])

async def mend():
    flush = {"name": "only", "do": "flush-cache", "arguments": {"replica": "assistant-0"}}
    bench = Bench(playbook(steps=[flush]), port=port)
    bench.engine.notify(notice())
    await bench.engine.idle()
    await bench.engine.stop()
    assert bench.of("playbook.finished", ok=True), bench.events

asyncio.run(mend())
assert port._client.flushed == ["assistant-0"]

# The trainee: the command is there, is parsed, and breaks the tier rule that its record names.
order = order_of("flush-cache", {"target": "assistant-1"}, situation(), SETTINGS)
assert (order.action, order.arguments) == ("flush-cache", {"replica": "assistant-1"})
last = situation(inventory(down=("assistant-0", "assistant-2")))
assert rule("flush-cache", order.arguments, last) == "last-replica"
assert "Empty a REPLICA's cache." in CliRunner().invoke(command, ["--help"]).output
print("all of it")
"""


def test_a_remedy_costs_two_files(tmp_path: Path) -> None:
    """A copy of the package with a record and a function more: everything that knows remedies knows that one."""
    package = tmp_path / "runner/tierdrill"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "remedies/kinds/flush_cache.py").write_text(FLUSH, encoding="utf-8")
    port = package / "targets/lab/remedy_port.py"
    before, marker, after = port.read_text(encoding="utf-8").partition("    def _controller(")
    port.write_text(before + DONE + marker + after, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", USE, str(tmp_path / "catalogue")],
        env={**os.environ, "PYTHONPATH": f"{package.parent}:{ROOT}", "TIERDRILL_CATALOGUE": str(ROOT)},
        cwd=ROOT, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.stdout == "all of it\n", done.stderr
