"""Fixtures of the targets' tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.targets.endpoint import Endpoint


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """Somebody who answers on loopback as a test says."""
    made = Endpoint()
    yield made
    made.close()
