"""The package's layout: a module's name says what is in it, and no two modules have the same."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import tierdrill

ROOT = Path(tierdrill.__file__).parent
SAME_SUBJECT = (
    *("cli/commands", "documents/check", "faults/kinds", "remedies/kinds", "targets/lab/faults"),
    *("targets/external", "targets/lab", "targets/kubernetes", "targets/kubernetes/faults"),
    *("targets/kubernetes/agent_faults", "targets/kubernetes/gpu_faults", "targets/kubernetes/gateway_faults"),
)
"""Rooms whose files are named after what another room has too: a command's or a kind's subject, a target's part."""


def test_no_two_modules_have_the_same_name() -> None:
    places = defaultdict(list)
    for path in ROOT.rglob("*.py"):
        room = path.parent.relative_to(ROOT).as_posix()
        if not path.name.startswith("__") and room not in SAME_SUBJECT:
            places[path.name].append(room)
    assert {name: rooms for name, rooms in places.items() if len(rooms) > 1} == {}


def test_no_module_is_longer_than_350_lines() -> None:
    lengths = {str(path.relative_to(ROOT)): path.read_text().count("\n") for path in ROOT.rglob("*.py")}
    assert {name: length for name, length in lengths.items() if length > 350} == {}


def test_what_is_imported_for_types_only_is_never_looked_up() -> None:
    texts = {str(path.relative_to(ROOT)): path.read_text() for path in ROOT.rglob("*.py")}
    for_types = {name for name, text in texts.items() if "if TYPE_CHECKING:" in text}
    assert {name for name in for_types if "from __future__ import annotations" not in texts[name]} == set()
