"""A run in a container: `recover` from another PID namespace leaves its lab alone, and says nothing is clean."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.cli.support import tierdrill
from tests.lab.test_supervisor_ends import small
from tierdrill.lab.lab_files import find_lab, lab_processes, supervisor_lives

INSIDE = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
UNSHARED = shutil.which("unshare") and subprocess.run([*INSIDE, "true"], capture_output=True, check=False)
pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(not UNSHARED or UNSHARED.returncode != 0, reason="this user may not make PID namespaces"),
]
RUN = """
import json
import sys
from contextlib import closing
from pathlib import Path
from tierdrill.recovery.cleanup import own_process
from tierdrill.history.ledger import Ledger
from tierdrill.process.identity import me
from tierdrill.lab.lab_config import LabConfig, build
from tierdrill.lab.supervisor.lab_start import start_lab
from tierdrill.remedies.remedy import Setting
from tierdrill.targets.lab.settings import LabSettings
from tierdrill.targets.remedy_ledger import undo_order
from tierdrill.targets.lab.labs import lab_place
home = Path(sys.argv[2])
ledger = Ledger(home)
ledger.lock("lab/own/small", "small", me(), "anna")
ledger.own(own_process("small", "runner", me().pid))
state, child = start_lab(build(LabConfig, json.loads(Path(sys.argv[1]).read_text()), "lab"), home)
ledger.own(own_process("small", "lab", child.pid))
order = undo_order("small", Setting("cordon", "node-1"), {"node": False, "gpus": []}, LabSettings.mechanism, 3600.0)
ledger.keep(order.fault, "small", order.plain(), lab_place(state, home), 3600.0)
print("up", flush=True)
sys.stdin.read()
"""


@contextmanager
def run_inside(home: Path, config: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A run with a lab of its own and something changed in it, in a PID namespace of its own."""
    command = [*INSIDE, sys.executable, "-c", RUN, str(config), str(home)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == b"up\n"
            yield process
        finally:
            process.kill()


def test_recover_from_outside_leaves_a_living_run_alone(tmp_path: Path) -> None:
    home, config = tmp_path / "home", tmp_path / "lab.json"
    home.mkdir()
    config.write_text(json.dumps(asdict(small())))
    with run_inside(home, config) as process:
        state = find_lab(home, "small")
        assert state is not None and not state.supervisor.process.here() and supervisor_lives(state)
        before = sorted(one.pid for one in lab_processes(state.id))
        assert before
        for _ in range(2):
            told = tierdrill(home, "recover")
            assert (told.code, "ended" in told.out, "undone" in told.out) == (0, False, False), told.out
        assert sorted(one.pid for one in lab_processes(state.id)) == before and supervisor_lives(state)
        status = tierdrill(home, "status")
        assert "run small in progress" in status.out and "changed by a playbook: cordon of node-1" in status.out
        assert "owned by its run" in status.out and "lab small is up for run small" in status.out
        assert tierdrill(home, "lab", "down", "--name", "small").code == 2
        process.kill()
        process.wait()
        # The whole namespace died with it; now there is something to mend, and nobody to be spared.
        assert "undone: cordon of node-1" in tierdrill(home, "recover").out
    assert tierdrill(home, "status").code == 0 and find_lab(home, "small") is None
