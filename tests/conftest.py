"""What every test shares: how they are dealt out to pytest-xdist's workers, and how property tests draw their examples.

In CI those draw the same examples each time, elsewhere new ones. No example has a deadline: how long one takes depends
on what else the machine does.
"""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import settings

# It holds assertions that several modules of tests share, and is none itself.
pytest.register_assert_rewrite("tests.foreign_remediator_cases")
settings.register_profile("elsewhere", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "elsewhere")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # In the background of a script it is ignored, also by whatever is started from here.
    signal.signal(signal.SIGINT, signal.default_int_handler)

LABS = 2
"""How many workers have tests with a lab at a time."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """How `--dist loadgroup` deals them out: each module whole, those with a lab to few workers."""
    modules = {item: item.nodeid.partition("::")[0] for item in items}
    with_lab = list(dict.fromkeys(modules[item] for item in items if item.get_closest_marker("lab")))
    for item, module in modules.items():
        group = f"lab-{with_lab.index(module) % LABS + 1}" if item.get_closest_marker("lab") else module
        item.add_marker(pytest.mark.xdist_group(group))
