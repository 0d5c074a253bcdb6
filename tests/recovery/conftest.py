"""Fixtures of the tests of recovery."""

from tests.conductor.stock import stock

__all__ = ["stock"]
