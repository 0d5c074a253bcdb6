"""`python -m tierdrill` and `tierdrill` are the command."""

import sys

INTERRUPTED = 130


def run() -> int:
    """The command; its exit code. Ctrl-C while it is still being loaded is no traceback either."""
    try:
        from tierdrill.cli.main import main
    except KeyboardInterrupt:
        sys.stderr.write("tierdrill: interrupted\n")
        return INTERRUPTED
    return main()


if __name__ == "__main__":
    sys.exit(run())
