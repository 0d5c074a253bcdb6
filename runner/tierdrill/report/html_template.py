"""What every page is made with: templates of its own room and the common ones, HTML escaped, nothing undefined.

What comes from outside goes into Markdown (`.md`) by the filter `md`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, Template

from tierdrill.report.format import markdown_text, show_seconds
from tierdrill.text import visible_lines


class _Template(Template):
    def render(self, *args: Any, **kwargs: Any) -> str:
        return visible_lines(super().render(*args, **kwargs))


class _Page(Environment):
    """Whatever a page shows, nothing in it acts: control, bidi and escape characters are spelled out."""

    template_class = _Template


def page_environment(filters: Mapping[str, Callable[..., Any]], *rooms: str) -> Environment:
    """An environment with these filters; the templates of `rooms` (packages) come before this one's."""
    environment = _Page(
        loader=ChoiceLoader([PackageLoader(room, "templates") for room in (*rooms, "tierdrill.report")]),
        autoescape=lambda name: name is None or not name.endswith(".md"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"seconds": show_seconds, "md": markdown_text, **filters}
    return environment
