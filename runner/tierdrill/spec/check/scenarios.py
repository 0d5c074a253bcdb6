"""Checks of Scenario documents: what they refer to, and whether they make sense."""

from __future__ import annotations

from tierdrill.spec.check.context import Context


def check_scenarios(context: Context) -> None:
    """Adds every problem of every Scenario document."""
