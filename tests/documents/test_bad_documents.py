"""Documents broken by hand: each says in its first line where it belongs and what must be reported.

`{faults}`, `{actions}` and `{facts}` stand there for those that there are.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.documents.support import BAD, good_catalogue, located, problems
from tierdrill.faults.known_kinds import ACTIONS, KINDS, UNDOS
from tierdrill.remedies.facts import FACTS
from tierdrill.text import either, listed

FILES = sorted(BAD.glob("*.yaml"))
LISTS = {
    "{faults}": listed(sorted(KINDS)),
    "{actions}": listed([*sorted(ACTIONS), *sorted(UNDOS)]),
    "{facts}": either(sorted(FACTS)),
}


def test_there_are_enough_broken_documents() -> None:
    assert len(FILES) >= 60


def test_the_good_catalogue_has_no_problem(tmp_path: Path) -> None:
    assert problems(good_catalogue(tmp_path)) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_broken_document_is_reported_as_it_says(path: Path, tmp_path: Path) -> None:
    raw = path.read_bytes()
    header = raw.split(b"\n", 1)[0].decode("utf-8").removeprefix("# ")
    target, _, expected = header.partition(" | ")
    for name, words in LISTS.items():
        expected = expected.replace(name, words)
    root = good_catalogue(tmp_path)
    (root / target).write_bytes(raw)
    found = problems(root)
    assert expected in [str(problem) for problem in found]
    assert all(located(problem, root) for problem in found)
    assert found == sorted(set(found))
