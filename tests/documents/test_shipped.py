"""What the repository ships: documents without a problem."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.shipped import shipped_documents
from tierdrill.documents.catalogue import setting_of
from tierdrill.documents.catalogue_reader import load_catalogue
from tierdrill.documents.reading.chaoslib_check import ask

ROOT = Path(__file__).parents[2]


def test_the_shipped_catalogue_has_no_problem() -> None:
    catalogue, problems = load_catalogue(ROOT)
    assert problems == []
    assert catalogue.warnings == []
    assert len(catalogue.drills) >= 4
    for name in catalogue.drills:
        assert setting_of(catalogue, name).drill.metadata.name == name


def test_chaoslib_accepts_the_shipped_experiments() -> None:
    answers = ask([one.content for one in shipped_documents().experiments.values()])
    assert answers and {(answer.refused, answer.missing) for answer in answers} == {(None, ())}


def test_reading_documents_does_not_import_chaos_toolkit() -> None:
    code = (
        "import sys, tierdrill.documents.catalogue_reader; "
        "sys.exit(bool({'chaoslib', 'httpx', 'locust'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=30, check=False).returncode == 0
