"""What keeps a run from starting."""

from __future__ import annotations


class RunRefused(Exception):
    """The run was not started, and nothing was touched: halted, locked, impossible to plan, or no lab.

    The message says why.
    """
