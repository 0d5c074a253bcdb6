"""How fast 1,000 documents are read and checked, against PyYAML's pure loader with pydantic, which gives no places.

Run: python tests/bench/bench_validate.py [documents]. Budget: 1,000 documents in 2 s.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from bench_arguments import arguments

from tierdrill.documents.catalogue import KINDS
from tierdrill.documents.catalogue_reader import FROM_DOCUMENT, load_catalogue

GOOD = Path(__file__).parents[1] / "documents" / "good"
BUDGET_S = 2.0


def grow(root: Path, documents: int) -> int:
    """A catalogue of at least that many documents: the good one, with three of its documents multiplied."""
    shutil.copytree(GOOD, root, dirs_exist_ok=True)
    families = [("drills", "node-loss"), ("playbooks", "restart-replica"), ("experiments/node", "power-loss")]
    count = sum(1 for _ in root.rglob("*.yaml"))
    number = 0
    while count < documents:
        number += 1
        for folder, name in families:
            text = (root / folder / f"{name}.yaml").read_text(encoding="utf-8")
            (root / folder / f"{name}-{number}.yaml").write_text(
                text.replace(f"name: {name},", f"name: {name}-{number},").replace(
                    f"{{name: {name}}}", f"{{name: {name}-{number}}}"
                ),
                encoding="utf-8",
            )
            count += 1
    return count


def plain(root: Path) -> None:
    """The usual way: PyYAML's safe loader in Python, then pydantic; no places, no duplicate keys, no cross-checks."""
    for path in root.rglob("*.yaml"):
        data: Any = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        # What a template adds to its drills, the usual way cannot know.
        if "kind" in data and data["kind"] != "DrillTemplate" and "template" not in data:
            KINDS[data["kind"]].model_validate(data, context=FROM_DOCUMENT)


def ours(root: Path) -> None:
    """The real thing; a problem would mean that the benchmark measures the wrong path."""
    _, problems = load_catalogue(root)
    if problems:
        raise SystemExit("\n".join(map(str, problems[:5])))


def seconds(what: Callable[[Path], None], root: Path, rounds: int) -> float:
    """The best of some rounds."""
    taken = []
    for _ in range(rounds):
        begin = time.perf_counter()
        what(root)
        taken.append(time.perf_counter() - begin)
    return min(taken)


def main() -> int:
    """Print both, the ratio, and whether the budget holds."""
    wanted = arguments(__doc__, documents=1000).documents
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        count = grow(root, wanted)
        size = sum(path.stat().st_size for path in root.rglob("*.yaml"))
        mine, theirs = seconds(ours, root, 3), seconds(plain, root, 1)
    print(f"{count} documents, {size / count:.0f} bytes each on average")
    print(f"tierdrill: {mine:.2f} s, {count / mine:.0f} documents/s (places, duplicate keys, all cross-checks)")
    print(f"PyYAML SafeLoader + pydantic: {theirs:.2f} s, {count / theirs:.0f} documents/s")
    print(f"ratio: {theirs / mine:.1f}x as fast; budget {BUDGET_S:.0f} s per 1,000: {mine / count * 1000:.2f} s")
    return 0 if mine / count * 1000 <= BUDGET_S else 1


if __name__ == "__main__":
    raise SystemExit(main())
