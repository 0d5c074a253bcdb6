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
GIVES_WAY = 15
"""How much nicer than tests with a lab the others are: those wait for events most of the time, these compute."""
_nice = False


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """How `--dist loadgroup` deals them out: what has a lab first and to few workers, other modules each to one."""
    items.sort(key=lambda item: not _has_lab(item))
    modules = {item: item.nodeid.partition("::")[0] for item in items}
    with_lab = list(dict.fromkeys(modules[item] for item in items if _has_lab(item)))
    for item, module in modules.items():
        group = f"lab-{with_lab.index(module) % LABS + 1}" if _has_lab(item) else module
        item.add_marker(pytest.mark.xdist_group(group))


def pytest_runtest_setup(item: pytest.Item) -> None:
    global _nice
    if not _nice and "PYTEST_XDIST_WORKER" in os.environ and not _has_lab(item):
        os.nice(GIVES_WAY)
        _nice = True


def _has_lab(item: pytest.Item) -> bool:
    return item.get_closest_marker("lab") is not None
