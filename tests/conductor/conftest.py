"""Fixtures of the conductor's tests."""

from tests.conductor.stock import stock

__all__ = ["stock"]
