"""Runs commands within the process of the tests: their answers are what is looked at here, not their start."""

from __future__ import annotations

from collections.abc import Callable

from tests.cli.support import Done

Tierdrill = Callable[..., Done]
