"""Hundreds of good documents broken by chance: each is noticed with its place, and nothing else comes out."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.documents.mutations import DOCUMENTS, MUTATIONS, broken, put
from tests.documents.support import GOOD, good_catalogue, located, problems

EXAMPLES = 60
QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much]


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return good_catalogue(tmp_path_factory.mktemp("catalogue"))


@pytest.mark.parametrize("how", MUTATIONS, ids=lambda how: how.__name__)
def test_a_broken_document_is_a_located_problem(how, catalogue: Path) -> None:  # type: ignore[no-untyped-def]
    counted: Counter[str] = Counter()

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=QUIET)
    @given(st.integers(0, 2**32), st.sampled_from(DOCUMENTS))
    def breaks(seed: int, name: str) -> None:
        raw = broken(random.Random(seed), name, how)
        assume(raw is not None)
        assert raw is not None
        counted[name] += 1
        try:
            put(catalogue, name, raw)
            found = problems(catalogue)
            assert found, raw.decode("utf-8", "replace")
            assert all(located(problem, catalogue) for problem in found), found
            assert any(problem.path == name for problem in found) or how.__name__ == "dangling_reference", found
        finally:
            put(catalogue, name, (GOOD / name).read_bytes())

    breaks()
    # Eight ways, each at least so often: more than 300 broken documents in a run.
    assert counted.total() >= 45


@settings(max_examples=150, deadline=None, suppress_health_check=QUIET)
@given(seed=st.integers(0, 2**32), name=st.sampled_from(DOCUMENTS))
def test_no_edit_brings_the_checks_down(seed: int, name: str, catalogue: Path) -> None:
    """Lines dropped, doubled, moved or cut: whatever comes of it is a catalogue or located problems."""
    source = random.Random(seed)
    rows = (GOOD / name).read_text(encoding="utf-8").splitlines(keepends=True)
    for _ in range(source.randint(1, 4)):
        spot = source.randrange(len(rows))
        rows[spot : spot + 1] = source.choice(
            [
                [],
                [rows[spot]] * 2,
                ["  " + rows[spot]],
                [rows[spot][2:]],
                [rows[spot][: source.randrange(max(1, len(rows[spot])))]],
            ]
        )
        rows = rows or ["\n"]
    try:
        put(catalogue, name, "".join(rows).encode())
        assert all(located(problem, catalogue) for problem in problems(catalogue))
    finally:
        put(catalogue, name, (GOOD / name).read_bytes())
