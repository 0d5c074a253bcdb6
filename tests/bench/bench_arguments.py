"""The command line of a benchmark, and the checkout on the path: a benchmark is started by its file, from anywhere."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


def arguments(doc: str | None, **defaults: float | str | bool) -> Any:
    """The values of a benchmark's arguments, in order; `--help` prints its docstring. A bool is a flag."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in defaults.items():
        if isinstance(default, bool):
            parser.add_argument(f"--{name}", action="store_true")
        else:
            parser.add_argument(name, nargs="?", type=type(default), default=default, help="default: %(default)s")
    return parser.parse_args()
