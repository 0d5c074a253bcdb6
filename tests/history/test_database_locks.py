"""Several connections of one process to one database, and other processes beside: nobody's locks are given up."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from tierdrill.history.database_file import connect
from tierdrill.history.ledger import Ledger

LOOK = "import sqlite3, sys\nd = sqlite3.connect(sys.argv[1])\nd.execute('SELECT * FROM t').fetchall()\nd.close()\n"
WRITER = """
import sys
from contextlib import closing
from pathlib import Path
from tierdrill.history.ledger import Ledger
for number in range(int(sys.argv[3])):
    with closing(Ledger(Path(sys.argv[1]))) as ledger:
        fault = f"{sys.argv[2]}/{number}"
        ledger.intend(fault, sys.argv[2], {"kind": "x", "fill": "y" * 700}, {"target": "lab"}, 5.0)
        ledger.mark(fault, "landed")
"""


def test_a_second_connection_does_not_give_up_the_first_one_s_locks(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    with closing(connect(path)) as first:
        first.execute("CREATE TABLE t (x)")
        connect(path).close()
        # Another process that closes its only connection takes the log away, unless it sees that somebody is there.
        subprocess.run([sys.executable, "-c", LOOK, str(path)], check=True)
        assert path.with_name("x.db-wal").exists()


def test_a_database_is_private_whenever_it_was_made(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    connect(path).close()
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    connect(path).close()
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
def test_many_threads_and_processes_on_one_ledger(tmp_path: Path) -> None:
    Ledger(tmp_path).close()
    count = 40

    def in_a_thread(name: str) -> None:
        for number in range(count):
            with closing(Ledger(tmp_path)) as ledger:
                ledger.intend(f"{name}/{number}", name, {"kind": "x", "fill": "y" * 700}, {"target": "lab"}, 5.0)
                ledger.open_faults(name)

    others = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), f"p{number}", str(count)]) for number in range(3)
    ]
    threads = [threading.Thread(target=in_a_thread, args=(f"t{number}",)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [other.wait() for other in others] == [0, 0, 0]
    with closing(Ledger(tmp_path)) as ledger:
        assert len(ledger.open_faults()) == 6 * count
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
