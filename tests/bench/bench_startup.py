"""How long `tierdrill --help` and a tab completion take, against `chaos --help` and a bare interpreter.

Run: python tests/bench/bench_startup.py. Exit code 1 where the help's median is over half of chaos's.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from bench_arguments import arguments

BIN = Path(sys.executable).parent
ROUNDS = 15
COMPLETION = {"_TIERDRILL_COMPLETE": "bash_complete", "COMP_WORDS": "tierdrill run n", "COMP_CWORD": "2"}


def seconds(command: list[str], **more: str) -> float:
    """One start to end."""
    began = time.perf_counter()
    quiet = subprocess.DEVNULL
    subprocess.run(command, env={**os.environ, **more}, stdout=quiet, stderr=quiet, check=False)
    return time.perf_counter() - began


def main() -> int:
    """Rounds of each, interleaved, so that a busy moment hits all of them."""
    arguments(__doc__)
    commands: dict[str, tuple[list[str], dict[str, str]]] = {
        "python -c pass": ([sys.executable, "-c", "pass"], {}),
        "tierdrill --help": ([str(BIN / "tierdrill"), "--help"], {}),
        "tierdrill <tab>": ([str(BIN / "tierdrill")], COMPLETION),
        "chaos --help": ([str(BIN / "chaos"), "--help"], {}),
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, (command, more) in commands.items():
            times[name].append(seconds(command, **more))
    for name, measured in times.items():
        print(f"{name:<18} median {statistics.median(measured) * 1000:6.1f} ms  max {max(measured) * 1000:6.1f} ms")
    ratio = statistics.median(times["tierdrill --help"]) / statistics.median(times["chaos --help"])
    print(f"tierdrill --help over chaos --help: {ratio:.2f} (allowed 0.50)")
    return 0 if ratio <= 0.5 else 1


if __name__ == "__main__":
    sys.exit(main())
