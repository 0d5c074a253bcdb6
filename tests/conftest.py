"""What every test shares: how they are dealt out to pytest-xdist's workers, and how property tests draw their examples.

In CI those draw the same examples each time, elsewhere new ones. No example has a deadline: how long one takes depends
on what else the machine does.
"""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

# It holds assertions that several modules of tests share, and is none itself.
pytest.register_assert_rewrite("tests.foreign_remediator_cases")
settings.register_profile("elsewhere", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "elsewhere")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # In the background of a script it is ignored, also by whatever is started from here.
    signal.signal(signal.SIGINT, signal.default_int_handler)

WAITING = "tests/external/"
"""Tests of one small platform that all share, which wait far more than they compute: a worker of their own."""


class Groups(LoadScopeScheduling):
    """How `--dist loadgroup` deals out tests with a lab: each module whole, and those that wait to one worker, which
    gets nothing else: so there is one lab fewer at a time than there are workers.

    xdist's own goes by marks, which it writes into the tests' ids; pytest 9.2 does not see them there any more.
    """

    def _split_scope(self, nodeid: str) -> str:
        return WAITING if nodeid.startswith(WAITING) else nodeid.partition("::")[0]

    def _assign_work_unit(self, node: WorkerController) -> None:
        if WAITING in self.workqueue:
            self.workqueue.move_to_end(WAITING, last=False)
        super()._assign_work_unit(node)

    def _reschedule(self, node: WorkerController) -> None:
        if WAITING not in self.assigned_work[node]:
            super()._reschedule(node)
        elif not node.shutting_down:
            node.shutdown()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Groups | None:
    return Groups(config, log) if config.getvalue("dist") == "loadgroup" else None
