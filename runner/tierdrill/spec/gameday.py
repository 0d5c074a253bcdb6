"""The GameDay document: several drills in one sitting, with people in their roles."""

from __future__ import annotations

from typing import Literal

from tierdrill.spec.units import Metadata, Part


class GameDay(Part):
    """kind: GameDay."""

    apiVersion: Literal["tierdrill/v1"]
    kind: Literal["GameDay"]
    metadata: Metadata
