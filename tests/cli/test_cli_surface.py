"""The command's surface: its help, its speed, its completion, and what it says of things it does not know."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click import Command, Context, Group

from tests.cli.support import COMMAND, ROOT, environment, tierdrill
from tierdrill.cli.command_table import ENTRIES
from tierdrill.cli.main import cli, main


def test_every_command_is_listed_has_help_and_is_documented(tmp_path: Path) -> None:
    listed = tierdrill(tmp_path, "--help").out
    pages = (ROOT / "docs" / "commands.md").read_text()
    context = Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        assert command.name == name
        assert command.help
        assert f"  {name} " in listed
        assert f"## tierdrill {name}" in pages, f"docs/commands.md has no section on {name}"


def test_every_option_is_documented() -> None:
    pages = (ROOT / "docs" / "commands.md").read_text()
    context = Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        for parameter in command.params:
            for option in parameter.opts:
                if option.startswith("--"):
                    assert re.search(rf"[`\[ (]{option}\b", pages), f"{name} {option}"


def test_values_of_options_are_called_in_the_docs_as_in_the_help() -> None:
    """What help says of an option's value, such as NAME|FILE, the option's command says in the docs, too."""
    for section in (ROOT / "docs" / "commands.md").read_text().split("\n## tierdrill ")[1:]:
        said = re.findall(r"(--[a-z-]+) ([A-Z][A-Z|/:=]*)", section.replace(r"\|", "|"))
        command = cli.get_command(Context(cli), re.split(r"\W", section, maxsplit=1)[0])
        assert command is not None
        values: dict[str, set[str]] = {}
        for context in _contexts(command, command.name or ""):
            for one in context.command.params:
                for option in one.opts if one.metavar else ():
                    values.setdefault(option, set()).add(one.metavar or "")
        wrong = [f"{option} {value}" for option, value in said if value not in values.get(option, {value})]
        assert not wrong, f"docs/commands.md, tierdrill {command.name}: {wrong}"


def test_help_loads_click_alone() -> None:
    probe = (
        "import sys\n"
        "from tierdrill.cli.main import main\n"
        "main(['--help'])\n"
        "heavy = {'pydantic', 'yaml', 'rich', 'aiohttp', 'httpx', 'psutil', 'jinja2', 'asyncio', 'sqlite3', "
        "'kubernetes', 'locust', 'gevent', 'chaoslib', 'cryptography', 'prompt_toolkit', 'icalendar', 'dateutil', "
        "'requests', 'apscheduler', 'starlette'}\n"
        "sys.exit(' '.join(sorted(heavy & set(sys.modules))) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_status_loads_no_web_server(tmp_path: Path) -> None:
    probe = (
        "import sys\n"
        "from tierdrill.cli.main import main\n"
        "code = main(['status'])\n"
        "sys.exit(' '.join(sorted({'uvicorn', 'starlette', 'asyncio'} & set(sys.modules))) or code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=False, cwd=ROOT, env=environment(tmp_path)
    )
    assert done.returncode == 0, done.stderr


def _contexts(command: Command, name: str, parent: Context | None = None) -> Iterator[Context]:
    context = Context(command, info_name=name, parent=parent, terminal_width=80)
    yield context
    if isinstance(command, Group):
        for one in command.list_commands(context):
            inner = command.get_command(context, one)
            assert inner is not None
            yield from _contexts(inner, one, context)


def test_help_fits_eighty_columns_and_speaks_in_sentences() -> None:
    every = list(_contexts(cli, "tierdrill"))
    assert len(every) > 100
    for context in every:
        wide = [line for line in context.get_help().splitlines() if len(line) > 80]
        assert not wide, f"{context.command_path}: {wide}"
        listed = context.get_help() if isinstance(context.command, Group) else ""
        cut = [line for line in listed.splitlines() if line.endswith("...") and "[ARGS]" not in line]
        assert not cut, f"{context.command_path}: {cut}"
        texts = [context.command.help or "", *(getattr(one, "help", None) for one in context.command.params)]
        for text in filter(None, texts):
            ends = text.rstrip("] \n").endswith((".", ":", "?"))
            assert ends and not text[0].islower(), f"{context.command_path}: {text}"


@pytest.mark.parametrize("command", sorted(ENTRIES))
def test_every_command_explains_itself(tmp_path: Path, command: str) -> None:
    done = tierdrill(tmp_path, command, "--help")
    assert done.code == 0
    assert "Usage: tierdrill " + command in done.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("rum",), "did you mean run?"),
        (("node-loss",), "tierdrill run node-loss"),
        (("run", "node-los"), "did you mean node-loss?"),
        (("run",), "Missing argument 'DRILL'"),
        (("run", "node-loss", "--blip", "--sabotage", "x"), "mutually exclusive"),
        (("run", "node-loss", "--sabotage", "nothing"), "playbook-disabled"),
        (("run", "node-loss", "--lab", "nowhere"), "nowhere"),
        (("run", "node-loss", "--set", "node=node-9"), "expected node-1, node-2 or node-3"),
        (("run", "node-loss", "--set", "nodes=node-1"), "did you mean node?"),
        (("run", "node-loss", "--set", "node"), "NAME=VALUE"),
        (("run", "gpu-fallen-off-bus", "--set", "gpu=one"), "a number, such as 1"),
        (("run", "node-loss", "--guardrail", "crit:90%:3s"), "critical, standard or best-effort"),
        (("run", "node-loss", "--guardrail", "critical:90:3s"), "a percentage"),
        (("plan", "node-loss", "--variant", "sabotage:nothing"), "playbook-disabled"),
        (("plan", "node-loss", "--variant", "both"), "drill, blip or sabotage:NAME"),
        (("prove",), "DRILL or --all"),
        (("prove", "node-loss", "--all"), "DRILL or --all"),
        (("prove", "--ablate"), "DRILL or --all"),
        (("prove", "node-loss", "--without", "retries"), "--ablate"),
        (("prove", "--ablate", "--all", "--without", "retrys"), "expected one of: priority_queue, reserved_slots,"),
        (("prove", "--ablate", "node-loss", "--without", "no-such-playbook"), "reschedule-critical"),
        (("run", "node-loss", "--sabotage", "without-nothing"), "playbook-disabled"),
        (("schema", "Dril"), "playbook"),
        (("schema",), "Tiers, Workloads, Environment, Playbook, Drill"),
        (("history",), "no run"),
        (("judge",), "no run"),
        (("report", "--open-path"), "no run"),
        (("stop",), "no runs in progress"),
        (("stop", "--wait", "nan"), "a number of seconds"),
        (("train", "amber-kettle", "--trainee", " "), "expected a name"),
        (("train", "amber-kettle", "--trainee", "a\nb"), "expected a name"),
        (("halt",), "--reason"),
        (("halt", "--reason", "  "), "--reason"),
        (("lab", "status"), "not up"),
        (("lab", "up", "--environment", "mars"), "mars"),
        (("validate", "/nowhere"), "/nowhere"),
        (("--catalogue", "/nowhere", "list"), "/nowhere"),
        (("--no-such-option",), "--no-such-option"),
    ],
)
def test_bad_input_is_one_clear_line(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    done = tierdrill(tmp_path / "home", *words)
    assert done.code == 2
    assert said in done.err
    assert done.err.startswith("tierdrill: ")
    assert len(done.err.splitlines()) == 1
    assert not list(tmp_path.glob("home/runs/*"))


TREND = {"drills", "false_alarms", "format", "never_run", "now", "regressions", "runs", "since", "tiers"}
LISTS = {
    ("audit", "show"): {"entries"},
    ("history", "--runs", "--format", "jsonl"): None,
    ("notify", "log"): {"counts", "messages"},
    ("rollout", "show"): {"rollouts"},
    ("schedule", "log"): {"gaps", "scheduler", "slots"},
    ("schedule", "status"): {"entries", "locks", "schedulers", "slots"},
    ("train", "coverage"): {"cells", "gaps", "levels", "people", "scenarios"},
    ("train", "progress"): [],
    ("trend",): TREND,
    ("gameday", "list"): [],
    ("web", "token", "list"): {"tokens"},
}
"""What commands that list something print as JSON where there is nothing: the same keys as where there is."""


@pytest.mark.parametrize("words", LISTS, ids=" ".join)
def test_a_list_of_nothing_is_an_empty_list_and_no_error(
    tmp_path: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("TIERDRILL_HOME", str(home))
    assert main([*words, *(() if "--format" in words else ("--json",))]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    if (keys := LISTS[words]) is None:
        assert said.out == ""
    else:
        found = json.loads(said.out)
        assert (set(found) if isinstance(found, dict) else found) == keys
    assert main(words) == 0
    assert not home.exists()


@pytest.mark.parametrize("words", [(), ("lab",), ("ops",)])
def test_a_group_without_a_command_shows_its_help_as_it_is(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = tierdrill(tmp_path, *words)
    assert (done.code, done.out) == (2, "")
    assert done.err == tierdrill(tmp_path, *words, "--help").out


def complete(home: Path, line: str) -> list[str]:
    """What the shell would offer for the last word."""
    words = line.split(" ")
    done = subprocess.run(
        COMMAND,
        cwd=ROOT,
        env=environment(home, _TIERDRILL_COMPLETE="bash_complete", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1)),
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    return [item.split(",", 1)[1] for item in done.stdout.splitlines() if item]


def test_completion_knows_commands_drills_and_sabotages(tmp_path: Path) -> None:
    assert complete(tmp_path, "tierdrill re") == ["report", "recover", "resume"]
    drills = sorted(path.stem for path in (ROOT / "drills").glob("*.yaml"))
    assert complete(tmp_path, "tierdrill run ") == drills
    assert complete(tmp_path, "tierdrill prove node-loss ti") == ["tier1-spike"]
    assert complete(tmp_path, "tierdrill run node-loss --sabotage w") == ["wrong-target"]
    assert complete(tmp_path, "tierdrill prove --ablate --without re") == [
        *("reserved_slots", "retries"),
        *sorted(path.stem for path in (ROOT / "playbooks").glob("re*.yaml")),
    ]
    assert complete(tmp_path, "tierdrill plan slow-link --set d") == ["destination=node-2", "delay_ms=600"]
    assert complete(tmp_path, "tierdrill plan node-loss --variant sabotage:w") == ["sabotage:wrong-target"]
    assert complete(tmp_path, "tierdrill tiers lint --rule TP02") == ["TP020", "TP021", "TP022", "TP023", "TP024"]
    assert complete(tmp_path, "tierdrill schedule show ") == ["at-random", "nightly"]
    assert complete(tmp_path, "tierdrill judge ") == []
    assert complete(tmp_path, "tierdrill trend --tier ") == ["critical", "standard", "best-effort"]
