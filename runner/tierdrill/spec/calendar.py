"""The Calendar document: which drills run when, unattended, and when they must not."""

from __future__ import annotations

from typing import Literal

from tierdrill.spec.units import Metadata, Part


class Calendar(Part):
    """kind: Calendar."""

    apiVersion: Literal["tierdrill/v1"]
    kind: Literal["Calendar"]
    metadata: Metadata
