"""An event of any kind with any data, as another version or another program may have written it."""

from __future__ import annotations

import time
from typing import Any

from tierdrill.history.events import Event


def event(kind: str, source: str, /, at: float | None = None, **data: Any) -> Event:
    """An event of now, or of `at` (Unix seconds)."""
    return Event(time.time() if at is None else at, kind, source, data)
