"""A history that is corrupt, locked or without room: kept, begun anew or refused, and always said."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from tests.cli.support import ROOT, tierdrill
from tests.raw_event import event

from tierdrill.history.database_file import inode_of, kept_copies, set_aside
from tierdrill.history.history_store import HistoryError, HistoryStore

NOTES = 400


def filled(home: Path) -> Path:
    """A history of one run with many events."""
    with closing(HistoryStore(home)) as store:
        store.begin("r1", "node-loss", "drill", 1.0)
        store.append_many("r1", [event("run.note", "t", text="x" * 200) for _ in range(NOTES)])
        store.finish("r1", 2.0, "passed", "fine")
    return home / "history.db"


def test_a_file_that_is_no_database_is_kept_and_a_new_one_begun_loudly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "history.db").write_bytes(b"garbage" * 500)
    with closing(HistoryStore(tmp_path)) as store:
        store.begin("r1", "node-loss", "drill", 1.0)
        assert [record.run for record in store.runs()] == ["r1"]
    (kept,) = kept_copies(tmp_path)
    assert kept.read_bytes() == b"garbage" * 500
    said = f"history.db is corrupt; it is kept as {kept}, and a new one is begun"
    assert capsys.readouterr().err.count(said) == 1


def test_a_broken_page_that_is_found_late_is_said_and_the_next_store_is_new(tmp_path: Path) -> None:
    path = filled(tmp_path)
    raw = bytearray(path.read_bytes())
    assert len(raw) > 20 * 4096
    raw[4 * 4096 : 18 * 4096] = b"\xa5" * (14 * 4096)
    path.write_bytes(raw)
    with closing(HistoryStore(tmp_path)) as store, pytest.raises(HistoryError, match=r"kept as .*corrupt-.*new one"):
        store.events("r1")
    assert kept_copies(tmp_path)[0].read_bytes() == bytes(raw)
    with closing(HistoryStore(tmp_path)) as store:
        assert store.runs() == []


def test_two_that_find_it_broken_at_once_begin_one_new_history(tmp_path: Path) -> None:
    (tmp_path / "history.db").write_bytes(b"garbage" * 500)

    def open_and_begin(number: int) -> None:
        with closing(HistoryStore(tmp_path)) as store:
            store.begin(f"r{number}", "node-loss", "drill", float(number))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(open_and_begin, range(8)))
    assert len(kept_copies(tmp_path)) == 1
    with closing(HistoryStore(tmp_path)) as store:
        assert len(store.runs()) == 8


def test_one_that_was_begun_anew_meanwhile_is_left_alone(tmp_path: Path) -> None:
    path = filled(tmp_path)
    assert set_aside(path, (inode_of(path) or 0) + 1) is None
    assert path.exists()


def test_commands_say_it_and_go_on_saying_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    path = filled(home)
    path.write_bytes(b"\0" * 100 + path.read_bytes()[100:])
    done = tierdrill(home, "history", "--runs")
    assert done.code == 0
    assert "is corrupt; it is kept as" in done.err
    assert "no runs in" in done.out
    (kept,) = kept_copies(home)
    assert f"a corrupt database is kept as {kept}" in tierdrill(home, "status").out
    assert json.loads(tierdrill(home, "status", "--json").out)["set_aside"] == [str(kept)]
    assert kept.name in tierdrill(home, "doctor").out


def test_a_locked_history_is_a_clear_error(tmp_path: Path) -> None:
    filled(tmp_path)
    file = tmp_path / "history.db"
    with closing(HistoryStore(tmp_path, busy_s=0.05)) as store, closing(sqlite3.connect(file)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(HistoryError, match="locked by another process"):
            store.begin("r2", "node-loss", "drill", 1.0)
        other.rollback()
        store.begin("r2", "node-loss", "drill", 1.0)
    assert kept_copies(tmp_path) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 600 kB, where this user may mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = shutil.which("mount")
    made = mount and os.geteuid() == 0 and subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(folder)], capture_output=True, check=False
    ).returncode == 0  # fmt: skip
    if not made:
        pytest.skip("a small file system cannot be mounted here; the limit on file sizes is tried instead")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True, capture_output=True)


WRITER = """
import signal, sys, resource
from pathlib import Path
from tierdrill.cli.errors import explain
from tests.raw_event import event
from tierdrill.history.history_store import HistoryError, HistoryStore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
home, limit = Path(sys.argv[1]), int(sys.argv[2])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
try:
    store = HistoryStore(home)
    store.begin("r1", "node-loss", "drill", 1.0)
    for number in range(100_000):
        store.append("r1", event("run.note", "t", number=number, text="x" * 1000))
        print(number, flush=True)
except HistoryError as error:
    sys.exit(explain(error, None))
"""


def write_until_full(home: Path, limit: int) -> tuple[int, int, str]:
    """Exit code, how many events were committed, and what was said."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "runner")}
    done = subprocess.run(
        [sys.executable, "-c", WRITER, str(home), str(limit)],
        env=environ, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.returncode, len(done.stdout.splitlines()), done.stderr


def test_a_full_disk_is_a_clear_error_and_loses_nothing_that_was_committed(small_disk: Path) -> None:
    home = small_disk / "home"
    code, committed, said = write_until_full(home, 0)
    assert code == 3, said
    assert "full" in said
    assert committed > 10
    # Whoever looks at it afterwards may have as little room.
    with closing(HistoryStore(home)) as store:
        assert [one.data["number"] for one in store.events("r1")][:committed] == list(range(committed))
    assert kept_copies(home) == []


def test_a_limit_on_file_sizes_is_a_clear_error_and_loses_nothing(tmp_path: Path) -> None:
    code, committed, said = write_until_full(tmp_path, 300_000)
    assert code == 3, said
    assert "history.db" in said
    assert len(said.splitlines()) == 1
    with closing(HistoryStore(tmp_path)) as store:
        assert [one.data["number"] for one in store.events("r1")][:committed] == list(range(committed))
    assert kept_copies(tmp_path) == []
