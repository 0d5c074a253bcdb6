"""What tierdrill's own programs import, and which variables of the environment they get."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from pydantic import BaseModel

import tierdrill
from tierdrill.documents.models.channels import Secret, secret_variables
from tierdrill.history.ledger import Ledger
from tierdrill.load.load_child import locust_command
from tierdrill.process import programs
from tierdrill.process.programs import Program
from tierdrill.process.ready_line import program_argv
from tierdrill.process.signals import StopSignal
from tierdrill.recovery.reaper_handle import ReaperError, start_reaper

PROGRAMS = {
    "reaper": programs.program(Program.REAPER, "--help"),
    "tierdrill": programs.program(Program.TIERDRILL, "--version"),
    "supervisor": [*program_argv("supervisor", Path("none")), "--help"],
    "gateway": [*program_argv("gateway", Path("none")), "--help"],
    "load": locust_command("--version"),
}


@pytest.mark.parametrize("command", PROGRAMS.values(), ids=PROGRAMS)
def test_nothing_of_the_working_directory_is_imported(tmp_path: Path, command: list[str]) -> None:
    """The first imports of them all; -P alone keeps the working directory out, which `python -m` puts first."""
    for name in ("argparse", "json", "logging", "click", "tierdrill", "locust"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('somebody else wrote this')\n")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "somebody else" not in done.stdout + done.stderr


def test_every_program_of_ours_is_started_that_way() -> None:
    root = Path(tierdrill.__file__).parent
    started = re.compile(r'sys\.executable,\s*"-[mP]"')
    others = [path for path in root.rglob("*.py") if path.name != "programs.py"]
    elsewhere = [str(path.relative_to(root)) for path in others if started.search(path.read_text())]
    assert elsewhere == []


@pytest.mark.parametrize(
    ("call", "places"), [("Popen(", ["spawn.py"]), ("create_subprocess_", []), ("flock(", ["safe_files.py"])]
)
def test_processes_are_started_and_files_locked_in_one_place(call: str, places: list[str]) -> None:
    root = Path(tierdrill.__file__).parent
    found = [path for path in sorted(root.rglob("*.py")) if call in path.read_text()]
    assert found == [root / "process" / place for place in places]


def test_every_module_that_is_started_is_in_the_table() -> None:
    root = Path(tierdrill.__file__).parent
    started = {
        ".".join(path.relative_to(root.parent).with_suffix("").parts).removesuffix(".__main__")
        for path in root.rglob("*.py")
        if '__name__ == "__main__"' in path.read_text()
    }
    by_path = {"tierdrill.schedule.exec_gate", "tierdrill.targets.kubernetes.warden_program"}
    assert started - by_path - {"tierdrill.cli.main"} == {*Program} - {Program.LOCUST}


@pytest.mark.parametrize("module", ["tierdrill.recovery.reaper", "tierdrill.chaos.actions"])
def test_what_must_start_fast_imports_no_asyncio(module: str) -> None:
    code = f"import sys, {module}; sys.exit('asyncio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_program_that_runs_nothing_of_the_users_gets_a_few_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, root = tmp_path / "home", str(Path(tierdrill.__file__).resolve().parents[1])
    secret = {"SLACK_TOKEN": "x", "AWS_SECRET_ACCESS_KEY": "x", "TIERDRILL_WEBHOOK_SECRET": "x", "HTTPS_PROXY": "http://p"}
    shaping = {"LOCUST_RUN_TIME": "1s", "PYTHONSTARTUP": "x", "PYTHONWARNINGS": "error", "PYTHONINSPECT": "1"}
    for name, value in {**secret, **shaping, "TIERDRILL_HOME": "h", "LC_ALL": "C", "HOME": "/somebody"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), "", root]))
    monkeypatch.setattr(programs, "_withheld", set())
    programs.withhold(["TIERDRILL_WEBHOOK_SECRET"])
    found = programs.bare_environment(home)
    assert not {*secret, *shaping} & found.keys()
    assert (found["HOME"], found["PYTHONPATH"], found["TIERDRILL_HOME"], found["LC_ALL"]) == (str(home), root, "h", "C")
    assert found["PATH"] == os.environ["PATH"]


def test_a_program_that_runs_the_users_gets_no_secret_of_channels_and_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KUBECONFIG", "CHANNEL_SECRET", "TOOL_SECRET"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setattr(programs, "_withheld", set())
    programs.withhold(["CHANNEL_SECRET"])
    assert "TOOL_SECRET" in programs.user_environment()
    found = programs.user_environment(["TOOL_SECRET"])
    assert programs.user_environment(author="ann")[programs.AUTHOR] == "ann"
    assert "KUBECONFIG" in found and not {"CHANNEL_SECRET", "TOOL_SECRET"} & found.keys()


class Login(BaseModel):
    """A part of a document with a secret in it."""

    password: Secret


class Page(BaseModel):
    """Secrets at every depth."""

    url: Secret
    logins: tuple[Login, ...]
    by_name: dict[str, Login]


def test_the_variables_that_hold_a_documents_secrets_are_found() -> None:
    logins = [Login(password=Secret(env=name)) for name in ("DRILL_ONE", "DRILL_TWO")]
    page = Page(url=Secret(env="DRILL_URL"), logins=(logins[0],), by_name={"two": logins[1]})
    in_file = Page(url=Secret(file="/run/secrets/url"), logins=(), by_name={})
    assert secret_variables([page, in_file]) == {"DRILL_URL", "DRILL_ONE", "DRILL_TWO"}


def test_somebodys_dotfiles_do_not_shape_the_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, own = tmp_path / "home", tmp_path / "own"
    home.mkdir()
    own.mkdir()
    (home / ".locust.conf").write_text("users = many\n")
    monkeypatch.setenv("HOME", str(home))
    (own / "locustfile.py").write_text("from locust import User\nclass One(User):\n    pass\n")
    command = [*programs.program(Program.LOCUST, "-f", own / "locustfile.py", "--list")]

    def said(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=own, env=environment, capture_output=True, text=True, check=False)

    assert "many" in said(dict(os.environ)).stderr, "locust reads it, so it has to be kept away"
    done = said(programs.bare_environment(own))
    assert done.returncode == 0 and "One" in done.stdout, done.stderr


def test_a_reaper_that_is_not_at_its_post_is_an_error_and_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ledger.db").write_text("this is no database")
    stop = StopSignal()
    with pytest.raises(ReaperError, match="was not ready"):
        asyncio.run(start_reaper(tmp_path, "a-run", None, tmp_path, stop))
    assert "ledger" in (tmp_path / "reaper.log").read_text() and not stop.stopped


def test_a_reaper_is_at_its_post_before_its_run_goes_on(tmp_path: Path) -> None:
    Ledger(tmp_path).close()

    async def scene() -> bool:
        handle = await start_reaper(tmp_path, "a-run", None, tmp_path, StopSignal())
        # It has said so itself: what the signals would do to it is settled, its ledger is open.
        lives = Path(f"/proc/{handle.pid}/status").read_text()
        await handle.dismiss(clean=True)
        ignored = int(re.search(r"SigIgn:\s*(\w+)", lives)[1], 16)  # type: ignore[index]
        return bool(ignored & 1 << 1)

    assert asyncio.run(scene()), "SIGINT is ignored"
    with closing(Ledger(tmp_path)) as ledger:
        assert ledger.open_faults() == []
