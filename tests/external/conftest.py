"""The platform and a certificate, once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.external.answering import write_certificate
from tests.external.shop import Platform, platform


@pytest.fixture(scope="package")
def running_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with platform(tmp_path_factory.mktemp("shop")) as there:
        yield there


@pytest.fixture
def shop(running_shop: Platform) -> Platform:
    """It, well, with the page's documents as they are."""
    running_shop.switch("ok")
    running_shop.write_documents()
    return running_shop


@pytest.fixture(scope="package")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    write_certificate(path)
    return path
