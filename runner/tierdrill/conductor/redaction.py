"""What an experiment found out for itself stays with it: its secrets, and values of its environment and its probes.

They are needed to play it and are in no history, ledger or log: wherever a text of the experiment's would say one, it
says `${name}`, as the document does.
"""

import json
import logging
from collections.abc import Mapping
from typing import Any

# A shorter value would be found in ordinary words.
SHORTEST = 4
SHORTEST_SECRET = 3
LOG_FORM = "%(asctime)s %(name)s %(levelname)s %(message)s"


class Hiding:
    """Puts `${name}` for each value that is in no document. Until it has learned them it changes nothing."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        written = spec["experiment"].get("configuration") or {}
        given = spec.get("variables") or {}
        self._defaults = {
            name: str(entry.get("default"))
            for name, entry in written.items()
            if isinstance(entry, dict) and entry.get("type") in ("env", "probe") and name not in given
        }
        self._hidden: list[tuple[str, str]] = []

    def learn(self, configuration: Mapping[str, Any], secrets: Mapping[str, Any]) -> None:
        found: dict[str, str] = {}
        for name, default in self._defaults.items():
            for text in _texts(configuration.get(name)):
                if len(text) >= SHORTEST and text != default:
                    found.setdefault(text, name)
        for group, values in (secrets or {}).items():
            for name, value in values.items() if isinstance(values, Mapping) else ((group, values),):
                for text in _texts(value):
                    if len(text) >= SHORTEST_SECRET:
                        found[text] = str(name)
        spelled = {spelling: name for text, name in found.items() for spelling in _spellings(text)}
        self._hidden = sorted(spelled.items(), key=lambda item: len(item[0]), reverse=True)

    def __call__(self, text: str) -> str:
        """The text without them."""
        for value, name in self._hidden:
            text = text.replace(value, f"${{{name}}}")
        return text


def _texts(value: Any) -> list[str]:
    """Every text and number in a value."""
    if isinstance(value, Mapping):
        return [text for item in value.values() for text in _texts(item)]
    if isinstance(value, list | tuple):
        return [text for item in value for text in _texts(item)]
    if value is None or isinstance(value, bool):
        return []
    return [value.decode(errors="replace") if isinstance(value, bytes) else str(value)]


def _spellings(text: str) -> set[str]:
    """As it is, and as Python and JSON write it."""
    return {text, repr(text)[1:-1], json.dumps(text)[1:-1]}


class HidingFormatter(logging.Formatter):
    """A log without them, tracebacks included."""

    def __init__(self, hide: Hiding, form: str) -> None:
        super().__init__(form)
        self._hide = hide

    def format(self, record: logging.LogRecord) -> str:
        return self._hide(super().format(record))


def hide_in_log(hide: Hiding) -> None:
    """From now on the log says no value that the experiment found out for itself."""
    for handler in logging.getLogger().handlers:
        handler.setFormatter(HidingFormatter(hide, LOG_FORM))
