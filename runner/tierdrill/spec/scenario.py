"""The Scenario document: a fault that somebody learning to be on call is put in front of, and what a good answer is."""

from __future__ import annotations

from typing import Literal

from tierdrill.spec.units import Metadata, Part


class Scenario(Part):
    """kind: Scenario."""

    apiVersion: Literal["tierdrill/v1"]
    kind: Literal["Scenario"]
    metadata: Metadata
