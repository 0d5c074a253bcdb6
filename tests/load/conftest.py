"""The fixtures of the load tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from load_support import ModelServer, serving


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    with serving() as started:
        yield started
