"""What every HTML page is made with: templates of its own room and the common ones, escaped, nothing undefined."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from tierdrill.report.words import show_seconds


def page_environment(filters: Mapping[str, Callable[..., Any]], *rooms: str) -> Environment:
    """An environment with these filters; the templates of `rooms` (packages) come before this one's."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(room, "templates") for room in (*rooms, "tierdrill.report")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"seconds": show_seconds, **filters}
    return environment
