"""`tierdrill audit` as it is typed; and what puts entries there."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.support import tierdrill
from tierdrill.history.audit_log import AUDIT_FILE, entries


def test_the_kill_switch_is_in_the_log_and_a_changed_line_is_named(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert tierdrill(home, "audit", "show").out == "no entries\n"
    assert tierdrill(home, "halt", "--reason", "incident 7", "--author", "ann").code == 0
    assert tierdrill(home, "resume", "--reason", "over", "--author", "bob").code == 0
    assert tierdrill(home, "resume", "--reason", "again", "--author", "bob").code == 0
    assert [(one.who, one.what, one.why, one.before, one.after) for one in entries(home)] == [
        ("ann", "halt", "incident 7", "off", "on"),
        ("bob", "resume", "over", "on", "off"),
    ]
    shown = tierdrill(home, "audit", "show", "--what", "resume").out.splitlines()
    assert len(shown) == 2 and shown[1].split()[3:5] == ["bob", "resume"] and "on -> off" in shown[1]
    assert json.loads(tierdrill(home, "audit", "show", "--who", "ann", "--json").out)["entries"][0]["n"] == 1
    whole = tierdrill(home, "audit", "verify")
    assert whole.code == 0 and whole.out.startswith("2 entries, each as it was written; the last has digest ")
    log = home / AUDIT_FILE
    log.write_text(log.read_text().replace('"ann"', '"eve"'))
    changed = tierdrill(home, "audit", "verify")
    assert (changed.code, changed.out.splitlines()[0]) == (1, "line 1 was changed")
    told = tierdrill(home, "audit", "verify", "--json")
    assert (told.code, json.loads(told.out)["faults"]) == (1, ["line 1 was changed"])


def test_it_is_exported_as_json_lines(tmp_path: Path) -> None:
    home, out = tmp_path / "home", tmp_path / "audit.jsonl"
    tierdrill(home, "halt", "--reason", "a", "--author", "ann")
    assert tierdrill(home, "audit", "export", "--output", out).err == f"tierdrill: 1 entry exported to {out}\n"
    assert json.loads(out.read_text()) == json.loads((home / AUDIT_FILE).read_text())
    assert json.loads(tierdrill(home, "audit", "export").out)["who"] == "ann"


def test_an_unknown_action_is_refused_with_the_near_one(tmp_path: Path) -> None:
    done = tierdrill(tmp_path, "audit", "show", "--what", "drill.start")
    assert done.code == 2 and "did you mean drill.started?" in done.err
