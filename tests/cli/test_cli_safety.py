"""Commands about safety: status, recover, halt, resume; and what becomes of errors."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.cli.support import COMMAND, ROOT, environment, tierdrill, with_runs
from tests.judge.build import Run, shipped
from tierdrill.cli.commands import recover
from tierdrill.cli.errors import explain, keep_traceback
from tierdrill.cli.folders import Surroundings
from tierdrill.history.history_store import HistoryStore
from tierdrill.history.kill_switch import throw_kill_switch
from tierdrill.history.ledger import Ledger
from tierdrill.history.ledger_tables import OwnedProcess
from tierdrill.lab.lab_files import LabState, ProcessRecord, write_state
from tierdrill.process.identity import ProcessId, identify, me
from tierdrill.remedies.remedy import Setting
from tierdrill.targets.base import Mechanism, TargetError
from tierdrill.targets.lab.labs import Labs
from tierdrill.targets.remedy_ledger import undo_order

ORDER = {
    "fault": "r1/node-power-loss/node-2",
    "kind": "node-power-loss",
    "target": "node-2",
    "target_kind": "node",
    "mechanism": "test",
    "parameters": {"node": "node-2"},
    "lease_s": 5.0,
}


def with_open_fault(home: Path, run: str = "r1") -> Path:
    """A home whose ledger has a fault in a lab that is not there any more."""
    place = {"target": "lab", "home": str(home), "lab": "gone", "id": "no-process-has-it"}
    with closing(Ledger(home)) as ledger:
        ledger.intend(
            ORDER["fault"],
            run,
            ORDER,
            place,
            5.0,
        )
        ledger.mark(str(ORDER["fault"]), "landed")
    return home


def test_an_empty_home_is_clean_and_stays_empty(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert tierdrill(home, "status").code == 0
    assert json.loads(tierdrill(home, "status", "--json").out)["clean"] is True
    assert tierdrill(home, "recover").code == 0
    assert not home.exists()


def test_a_lab_whose_state_cannot_be_read_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "labs" / "mine"
    folder.mkdir(parents=True)
    (folder / "lab.json").write_text("{")
    told = tierdrill(tmp_path, "status").out
    assert f"lab mine may be up: its state file in {folder} cannot be read" in told
    assert "no labs up" not in told


def test_a_fault_that_nobody_looks_after_is_told_and_mended(tmp_path: Path) -> None:
    home = with_open_fault(tmp_path)
    told = tierdrill(home, "status")
    assert told.code == 5
    assert "node-power-loss on node-2" in told.out
    assert "tierdrill recover" in told.out
    fault = json.loads(tierdrill(home, "status", "--json").out)["faults"][0]
    assert fault["state"] == "landed"
    assert fault["run_lives"] is False
    mended = tierdrill(home, "recover")
    assert mended.code == 0
    assert "undone: node-power-loss on node-2" in mended.out
    assert tierdrill(home, "status").code == 0
    assert "nothing to do" in tierdrill(home, "recover").out


def test_what_a_playbook_left_is_told_and_put_back(tmp_path: Path) -> None:
    setting = Setting("shed", "best-effort", "gateway-a")
    order = undo_order("r1", setting, 0.0, Mechanism("the lab"), 5.0)
    place = {"target": "lab", "home": str(tmp_path), "lab": "gone", "id": "no-process-has-it"}
    with closing(Ledger(tmp_path)) as ledger:
        assert ledger.keep(order.fault, "r1", order.plain(), place, 5.0)
    told = tierdrill(tmp_path, "status")
    assert told.code == 5 and "no faults injected" in told.out
    assert "changed by a playbook: shed of best-effort at gateway-a" in told.out and "NOT OWNED BY ANY RUN" in told.out
    document = json.loads(tierdrill(tmp_path, "status", "--json").out)
    assert document["clean"] is False and document["faults"] == []
    assert [one["target"] for one in document["remedies"]] == ["shed of best-effort at gateway-a"]
    mended = tierdrill(tmp_path, "recover")
    assert mended.code == 0 and "undone: shed of best-effort at gateway-a, left by a playbook (run r1)" in mended.out
    assert tierdrill(tmp_path, "status").code == 0


def test_recover_ends_strays_and_closes_the_books_of_a_run_that_died(tmp_path: Path) -> None:
    home = tmp_path
    whole = Run(gone=False).events(shipped())
    events = whole[: next(index for index, event in enumerate(whole) if event.kind == "fault.landed") + 1]
    with closing(HistoryStore(home)) as store:
        store.begin("r1", "node-loss", "drill", events[0].at)
        store.append_many("r1", events)
    with_open_fault(home)
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as stray:
        try:
            with closing(Ledger(home)) as ledger:
                process = identify(stray.pid)
                assert process is not None
                ledger.own(OwnedProcess("r1", "load", process, stray.pid))
            assert f"load (pid {stray.pid})" in tierdrill(home, "status").out
            done = tierdrill(home, "recover")
            assert done.code == 0, done.err
            assert f"pid {stray.pid}" in done.out
            assert stray.wait(5) == -9
        finally:
            stray.kill()
    assert "closed: run r1 is aborted" in done.out
    assert tierdrill(home, "judge", "r1").code == 4
    kinds = [event["kind"] for event in map(json.loads, _export(home, "r1").splitlines())]
    assert kinds[-1] == "run.ended"
    assert "fault.gone" in kinds


def _export(home: Path, run: str) -> str:
    return tierdrill(home, "history", run, "--format", "jsonl").out


@pytest.mark.parametrize("known_by", ["its environment", "its process"])
def test_recover_leaves_a_run_alone_that_begins_while_it_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known_by: str
) -> None:
    """It waits for reapers, and for each undoing; a run that began meanwhile is none that died."""

    def begins(*_: object) -> None:
        with closing(HistoryStore(tmp_path)) as store:
            store.begin("r1", "node-loss", "drill", 1.0)
            store.append_many("r1", Run().events(shipped())[:1])
        with closing(Ledger(tmp_path)) as ledger:
            if known_by == "its environment":
                ledger.lock("lab/own/r1", "r1", me(), "ann")
            else:
                ledger.own(OwnedProcess("r1", "runner", me(), os.getpgrp()))
        with_open_fault(tmp_path)

    monkeypatch.setattr("tierdrill.recovery.recover.let_reapers_finish", begins)
    monkeypatch.setattr(recover, "log_to_file", lambda home: None)
    here = Surroundings(home=tmp_path, tools=tmp_path, catalogue=tmp_path, color=False, verbose=False)
    done = CliRunner().invoke(recover.command, obj=here)
    assert "nothing to do" in done.output, done.output
    with closing(Ledger(tmp_path)) as ledger:
        assert [entry.state for entry in ledger.open_faults("r1")] == ["landed"]
    with closing(HistoryStore(tmp_path)) as store:
        record = store.find("r1")
        assert record is not None and record.status is None and store.count("r1") == 1


def test_recover_leaves_a_run_alone_whose_runner_lives(tmp_path: Path) -> None:
    home = with_open_fault(tmp_path)
    with closing(Ledger(home)) as ledger:
        ledger.own(OwnedProcess("r1", "runner", me(), os.getpgrp()))
    assert tierdrill(home, "status").code == 0
    assert tierdrill(home, "recover").code == 0
    with closing(Ledger(home)) as ledger:
        assert len(ledger.open_faults()) == 1


def test_the_kill_switch_blocks_a_run_until_it_is_lifted(tmp_path: Path) -> None:
    assert tierdrill(tmp_path, "halt", "--reason", "an incident", "--author", "ann").code == 0
    shown = tierdrill(tmp_path, "status").out
    assert "HALTED by ann" in shown
    assert "an incident" in shown
    refused = tierdrill(tmp_path, "run", "node-loss")
    assert refused.code == 2
    assert "an incident" in refused.err
    assert "ann" in refused.err
    assert tierdrill(tmp_path, "resume", "--reason", "over", "--author", "ann").code == 0
    assert "HALTED" not in tierdrill(tmp_path, "status").out
    assert "not halted" in tierdrill(tmp_path, "resume", "--reason", "again").out


def test_a_run_that_ended_cannot_be_stopped(tmp_path: Path) -> None:
    with_runs(tmp_path, r1=Run())
    done = tierdrill(tmp_path, "stop", "r1")
    assert done.code == 2
    assert "r1" in done.err


def test_a_home_that_is_no_home_is_one_clear_line(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "ledger.db").write_text("this is no database, and never was one" * 100)
    for home, words in (
        (file, ("halt", "--reason", "x")), (file, ("status",)), (file, ("scheduler",)), (file, ("recover",)),
        (tmp_path / "broken", ("recover",)), (tmp_path / "broken", ("resume", "--reason", "x")),
    ):  # fmt: skip
        done = tierdrill(home, *words)
        assert done.code == 2, done.err
        assert str(home) in done.err
        assert len(done.err.splitlines()) == 1


def test_a_full_disk_is_inconclusive_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(OSError(errno.ENOSPC, "No space left on device", "/x"), tmp_path) == 3
    assert "disk full" in capsys.readouterr().err


def test_a_defect_is_a_short_message_and_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise RuntimeError("two\nlines")
    except RuntimeError as error:
        assert explain(error, tmp_path / "home") == 3
    told = capsys.readouterr().err
    assert "RuntimeError: two lines" in told
    assert "Traceback" not in told
    kept = next((tmp_path / "home" / "crashes").iterdir())
    assert str(kept) in told
    assert "Traceback" in kept.read_text()


def test_details_are_not_written_where_another_made_the_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The temporary directory is everybody's: a link there would lead what we write to where its maker wants it."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (tmp_path / f"tierdrill-crashes-{os.getuid()}").symlink_to(theirs)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    assert keep_traceback(RuntimeError("x"), None) is None
    assert list(theirs.iterdir()) == []


def test_an_interrupt_is_no_defect(tmp_path: Path) -> None:
    probe = (
        "import sys, os, signal, click\n"
        "from tierdrill.cli import main as m\n"
        "from tierdrill.cli.commands import version\n"
        "version.command.callback = lambda **_: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.exit(m.main(['version']))\n"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert done.stderr.strip() == "tierdrill: interrupted"


def test_doctor_tells_what_is_here(tmp_path: Path) -> None:
    done = tierdrill(tmp_path, "doctor", "--json")
    found = json.loads(done.out)
    assert {finding["name"] for finding in found["findings"]} >= {
        "python",
        "prometheus",
        "loopback",
        "netem",
        "cgroups",
    }
    assert found["faults"]["node-power-loss"]
    assert done.code == (0 if found["ok"] else 2)
    shown = tierdrill(tmp_path, "doctor")
    assert shown.code == done.code
    told = {part.split("\n")[0]: part for part in shown.out.split("faults with target: ")[1:]}
    for name, there in found["targets"].items():
        not_here = told[name].partition("not here, ")[2]
        for kind in found["faults"]:
            words = there.get(kind)
            assert words in told[name] if words else kind in not_here or "stock Chaos Toolkit experiments" in not_here


def test_an_interrupt_while_the_command_is_loaded_is_none_either(tmp_path: Path) -> None:
    probe = (
        "import sys, os, signal\n"
        "class Finder:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name == 'click': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from tierdrill.__main__ import run\n"
        "sys.exit(run())\n"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "tierdrill: interrupted"
    assert done.returncode in (130, -2)


def run_bytes(home: Path, *arguments: bytes, stdout: int = subprocess.PIPE) -> subprocess.CompletedProcess[bytes]:
    """The command with arguments as the system passes them: bytes."""
    return subprocess.run(
        [*(os.fsencode(word) for word in COMMAND), *arguments],
        env=environment(home),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "arguments",
    [
        (b"halt", b"--reason", b"caf\xe9 is down"),
        (b"halt", b"--reason", b"ok", b"--author", b"Jos\xe9"),
        (b"halt", b"--reason=\xff\xfe", b"--author=\x80"),
    ],
)
def test_the_kill_switch_takes_any_bytes(tmp_path: Path, arguments: tuple[bytes, ...]) -> None:
    assert run_bytes(tmp_path, *arguments).returncode == 0
    halt = json.loads(tierdrill(tmp_path, "status", "--json").out)["halt"]
    assert "\ufffd" in halt["author"] + halt["reason"]
    assert "\ufffd" in tierdrill(tmp_path, "status", PYTHONUTF8="1").out
    assert run_bytes(tmp_path, b"resume", b"--reason", b"caf\xe9").returncode == 0
    assert json.loads(tierdrill(tmp_path, "status", "--json").out)["halt"] is None


@pytest.mark.parametrize(
    "arguments",
    [
        (b"train", b"forget", b"--yes", b"Jos\xe9"),
        (b"history", b"caf\xe9"),
        (b"plan", b"caf\xe9"),
        (b"validate", b"caf\xe9.yaml"),
        (b"judge", b"--history", b"caf\xe9.jsonl"),
        (b"schedule", b"show", b"caf\xe9"),
        (b"stop", b"caf\xe9"),
        (b"caf\xe9",),
        (b"trend", b"--drill", b"\xe9"),
        (b"notify", b"try", b"\xe9"),
    ],
)
def test_no_command_breaks_on_bytes_that_are_no_text(tmp_path: Path, arguments: tuple[bytes, ...]) -> None:
    done = run_bytes(tmp_path, *arguments)
    assert b"a defect" not in done.stderr
    assert b"codec" not in done.stderr
    assert b"Traceback" not in done.stderr
    assert done.returncode in (0, 2)


@pytest.mark.parametrize("command", ["halt", "resume"])
def test_a_switch_whose_output_finds_no_room_is_thrown_and_says_so(tmp_path: Path, command: str) -> None:
    with closing(Ledger(tmp_path)) as ledger:
        if command == "resume":
            throw_kill_switch(ledger.home, "ann", "incident 7")
        with Path("/dev/full").open("wb") as full:
            done = run_bytes(tmp_path, command.encode(), b"--reason", b"x", stdout=full.fileno())
        assert done.returncode == 0
        assert b"what was asked for is done" in done.stderr
        assert (ledger.halted() is not None) == (command == "halt")


def test_output_that_finds_no_room_is_told_as_that(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = run_bytes(tmp_path, b"status", stdout=full.fileno())
    assert done.returncode == 3
    assert done.stderr == b"tierdrill: the output cannot be written: No space left on device\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_halt_and_stop_on_a_full_disk(tmp_path: Path) -> None:
    home = tmp_path / "disk"
    home.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(home)], check=False)
    if mounted.returncode != 0:
        pytest.skip("a small file system cannot be mounted here")
    try:
        with closing(Ledger(home)) as ledger, closing(HistoryStore(home)) as store:
            ledger.lock("lab", "r1", me(), "ann")
            ledger.own(OwnedProcess("r1", "runner", me(), 0))
            store.begin("r1", "node-loss", "drill", 1.0)
            (home / "filler").write_bytes(b"")
            with pytest.raises(OSError, match="No space"), (home / "filler").open("ab", buffering=0) as filler:
                while True:
                    filler.write(b"x" * 4096)
            assert tierdrill(home, "stop", "r1", "--reason", "enough", "--wait", "0").code == 5
            asked = ledger.stop_asked("r1")
            assert asked is not None and asked.reason == "enough"
            done = tierdrill(home, "halt", "--reason", "incident 7")
            assert done.code == 0, done.err
            assert "not recorded in the ledger" in done.err
            halt = ledger.halted()
            assert halt is not None and halt.reason == "incident 7"
            assert "HALTED" in tierdrill(home, "status").out
            (home / "filler").unlink()
            assert tierdrill(home, "resume", "--reason", "over").code == 0
            assert ledger.halted() is None
            ledger.unlock("lab", "r1")
    finally:
        subprocess.run(["umount", str(home)], check=True)


def in_use(home: Path) -> None:
    """A home with a lab, as its state file tells of one, and a living run in it."""
    folder = home / "labs" / "kept"
    folder.mkdir(parents=True)
    dead = ProcessRecord("supervisor", "supervisor", ProcessId(1, 0, "another boot", ""), 1)
    write_state(LabState("no-process-has-it", "kept", str(folder), "127.0.0.1:1", "t", dead, 0.0))
    with closing(Ledger(home)) as ledger:
        ledger.lock("lab/kept", "run-1", me(), "anna")


def test_a_lab_under_a_living_run_is_not_ended_without_force(tmp_path: Path) -> None:
    in_use(tmp_path)
    refused = tierdrill(tmp_path, "lab", "down", "--name", "kept")
    assert refused.code == 2 and f"lab kept is in use by run run-1 (pid {os.getpid()})" in refused.err
    assert (tmp_path / "labs" / "kept" / "lab.json").exists()
    assert tierdrill(tmp_path, "lab", "down", "--all").code == 2
    forced = tierdrill(tmp_path, "lab", "down", "--name", "kept", "--force")
    assert forced.code == 0 and "lab kept is down" in forced.out


def test_a_lab_that_nobody_uses_is_ended_at_once(tmp_path: Path) -> None:
    in_use(tmp_path)
    with closing(Ledger(tmp_path)) as ledger:
        ledger.unlock("lab/kept", "run-1")
    assert tierdrill(tmp_path, "lab", "down", "--name", "kept").code == 0


def test_a_lab_that_has_lost_a_part_is_broken_and_no_run_begins_there(tmp_path: Path) -> None:
    folder = tmp_path / "labs" / "kept"
    folder.mkdir(parents=True)
    alive = ProcessRecord("supervisor", "supervisor", me(), os.getpid())
    gone = ProcessRecord("fabric", "fabric", replace(me(), ticks=1), 1)
    whole = LabState("id", "kept", str(folder), "127.0.0.1:1", "t", alive, 0.0, ready=True, processes=(alive,))
    write_state(replace(whole, processes=(alive, gone), lost=("gateway-a",)))
    told = tierdrill(tmp_path, "status")
    assert told.code == 5 and "lab kept is broken: missing fabric, gateway-a" in told.out
    with pytest.raises(TargetError, match="lab kept has lost fabric, gateway-a; run `tierdrill recover`"):
        Labs(tmp_path).whole("kept")
    write_state(whole)
    assert "lab kept is up" in tierdrill(tmp_path, "status").out
    assert Labs(tmp_path).whole("kept") == whole


def test_a_loop_of_links_is_no_home(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    for home in (loop, loop / "below"):
        for done in (tierdrill(home, "status"), tierdrill(tmp_path, "--home", home, "status")):
            assert done.code == 2
            assert done.err == f"tierdrill: {home}: Symlink loop\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="taking /proc away needs root")
@pytest.mark.parametrize("command", ["recover", "run node-loss", "doctor"])
def test_a_machine_without_proc_is_one_clear_line(tmp_path: Path, command: str) -> None:
    (tmp_path / "home").mkdir()
    script = f"mount --make-rprivate / && umount -l /proc && exec {sys.executable} -m tierdrill {command}"
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script], env=environment(tmp_path / "home"), capture_output=True, text=True,
        cwd=ROOT, timeout=60, check=False,
    )  # fmt: skip
    if "unshare" in done.stderr or "umount" in done.stderr or "mount:" in done.stderr:
        pytest.skip("a mount namespace cannot be made here")
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "/proc" in done.stderr


def test_an_export_goes_where_it_was_sent_and_replaces_nothing_else(tmp_path: Path) -> None:
    home = with_runs(tmp_path / "home", r1=Run())
    plain = tierdrill(home, "export").out
    assert plain
    target, link, pipe = tmp_path / "target", tmp_path / "link", tmp_path / "pipe"
    target.write_text("before")
    link.symlink_to(target)
    assert tierdrill(home, "export", "--output", link).code == 0
    assert link.is_symlink() and target.read_text() == plain
    dangling = tmp_path / "dangling"
    dangling.symlink_to(tmp_path / "made")
    assert tierdrill(home, "export", "--output", dangling).code == 0
    assert dangling.is_symlink() and (tmp_path / "made").read_text() == plain
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert tierdrill(home, "export", "--output", pipe).code == 0
        assert os.read(reader, 1 << 20).decode() == plain
    finally:
        os.close(reader)
    assert pipe.is_fifo()
    assert tierdrill(home, "export", "--output", "/dev/null").code == 0
    assert Path("/dev/null").is_char_device()
    assert tierdrill(home, "export", "--output", "/dev/stdout").out == plain
    full = tierdrill(home, "export", "--output", "/dev/full")
    assert full.code == 3 and "disk full" in full.err
    assert tierdrill(home, "export", "--output", tmp_path).code == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["home", "target", "link", "dangling", "made", "pipe"]
    )


def test_a_history_without_end_is_refused(tmp_path: Path) -> None:
    done = tierdrill(tmp_path, "judge", "--history", "/dev/zero")
    assert done.code == 2
    assert done.err.startswith("tierdrill: /dev/zero:1:1: a line of more than ")


def test_a_token_without_end_is_refused(tmp_path: Path) -> None:
    done = tierdrill(tmp_path, "facilitate", "--token-file", "/dev/zero")
    assert done.code == 2
    assert done.err == "tierdrill: /dev/zero: it is a device, a pipe or a socket\n"


def test_databases_are_their_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    former = os.umask(0)
    try:
        (tmp_path / "ledger.db").touch(mode=0o666)
        with closing(Ledger(tmp_path)) as ledger, closing(HistoryStore(tmp_path)) as store:
            throw_kill_switch(ledger.home, "ann", "x")
            store.begin("r1", "d", "drill", 1.0)
            modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir() if path.is_file()}
    finally:
        os.umask(former)
    assert {"ledger.db", "history.db", "ledger.db-wal", "history.db-shm"} <= set(modes)
    assert set(modes.values()) == {0o600}


def test_a_ledger_that_was_emptied_is_not_taken_for_a_new_one(tmp_path: Path) -> None:
    home = with_open_fault(tmp_path)
    (home / "ledger.db").write_bytes(b"")
    for words in (("status",), ("recover",), ("run", "node-loss")):
        done = tierdrill(home, *words)
        assert done.code == 2, words
        assert "ledger.db: it is empty, and was not before; it may have held faults to undo" in done.err
    assert tierdrill(home, "halt", "--reason", "x").code == 0
    (home / "ledger.db").unlink()
    assert tierdrill(home, "status").code == 0
    assert tierdrill(home, "resume", "--reason", "x").code == 0
    assert tierdrill(home, "status").code == 0
