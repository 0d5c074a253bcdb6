"""The documents that the repository ships, read and checked once for all tests of a process."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from tierdrill.documents.catalogue import Catalogue
from tierdrill.documents.catalogue_reader import load_catalogue
from tierdrill.monitoring.alert_names import KNOWN_ALERTS

ROOT = Path(__file__).resolve().parents[1]


@cache
def shipped_documents() -> Catalogue:
    """The shipped catalogue, which has no problem. It is everybody's: a test that changes a document copies it."""
    catalogue, problems = load_catalogue(ROOT, KNOWN_ALERTS)
    assert not problems, "\n".join(map(str, problems))
    return catalogue
