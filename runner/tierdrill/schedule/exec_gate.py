"""Waits for the word, then becomes the command: so a scheduler's child does nothing before it is written down.

Run by its path: `python -I -S exec_gate.py FD COMMAND...`. The scheduler writes `go` into the pipe once the child's pid
is on the disk; if it dies before that, the pipe ends without the word and nothing is run.
"""

import os
import sys


def main() -> None:
    """Read the word from the descriptor in the first argument, then exec the rest."""
    descriptor = int(sys.argv[1])
    with os.fdopen(descriptor, "rb") as pipe:
        word = pipe.read()
    if word != b"go":
        sys.exit(75)
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - the command is the scheduler's own


if __name__ == "__main__":
    main()
