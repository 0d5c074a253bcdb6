"""Every benchmark starts as its docstring says."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BENCHMARKS = sorted((ROOT / "tests" / "bench").glob("bench_*.py"))
PROGRAMS = [path for path in BENCHMARKS if path.name != "bench_arguments.py"]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_a_benchmark_starts_as_its_docstring_says(program: Path, tmp_path: Path) -> None:
    doc = ast.get_docstring(ast.parse(program.read_text()))
    assert doc
    assert f"python tests/bench/{program.name}" in doc
    answer = subprocess.run(
        [sys.executable, program, "--help"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert answer.returncode == 0, answer.stderr
    assert doc.splitlines()[0] in answer.stdout
