"""The real command line of game days, with `staged_run` in the place of `tierdrill run`: for tests in a terminal."""

from __future__ import annotations

import sys

import tierdrill.cli.gameday_session as gamedays
import tierdrill.gameday.step_runs as runs
from tierdrill.cli.main import main

runs.COMMAND = (sys.executable, "-m", "tests.gameday.staged_run")
# Nothing is started that would need Prometheus.
gamedays.check_place = lambda here, settings, lab: None  # type: ignore[assignment]

if __name__ == "__main__":
    sys.exit(main())
