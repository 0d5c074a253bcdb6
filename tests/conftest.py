"""What every test shares: in CI the property tests draw the same examples each time, elsewhere new ones.

No example has a deadline: how long one takes depends on what else the machine does.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

# It holds assertions that several modules of tests share, and is none itself.
pytest.register_assert_rewrite("tests.foreign_remediator_cases")
settings.register_profile("elsewhere", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "elsewhere")
