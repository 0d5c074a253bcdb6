"""The page on adding a fault kind: its example is added from the page, and is a kind as all others are."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.documents.support import good_catalogue

from tierdrill.faults.known_kinds import KINDS

ROOT = Path(__file__).parents[2]
FILES = dict(
    re.findall(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", (ROOT / "docs/extending.md").read_text(encoding="utf-8"), re.S)
)
ADDED = """
import sys
from pathlib import Path
from tierdrill.faults import kinds
from tierdrill.targets.lab import faults
root = Path(sys.argv[1])
kinds.__path__.append(str(root / "runner/tierdrill/faults/kinds"))
faults.__path__.append(str(root / "runner/tierdrill/targets/lab/faults"))
from tierdrill.chaos import actions
from tierdrill.documents.catalogue_reader import load_catalogue
assert "hang_gateway" in actions.__all__ and "Stop a gateway's process" in actions.hang_gateway.__doc__
catalogue, problems = load_catalogue(root)
assert "router/hang" in catalogue.experiments and problems == [] and catalogue.excused == [], catalogue.excused
import pytest
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", str(root / "tests")]))
"""


def test_the_example_of_the_page_is_a_kind_as_all_others_are(tmp_path: Path) -> None:
    root = good_catalogue(tmp_path)
    assert len(FILES) == 4 and "gateway-hang" not in KINDS
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    done = subprocess.run([sys.executable, "-c", ADDED, str(root)], capture_output=True, text=True, cwd=root)
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr
