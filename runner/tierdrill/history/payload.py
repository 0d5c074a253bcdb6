"""What an event says, typed: the base of the payloads in `tierdrill.history.kinds`, read from JSON and written to it.

Reading is tolerant, for histories of older versions: a field that is missing, null or of another type has its default;
where the class names none, that is None where None is allowed, else "", 0, false or nothing. `data_problem` is what
refuses a file from elsewhere at its field.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING
from inspect import get_annotations
from types import MappingProxyType
from typing import Any, ClassVar, Self, dataclass_transform

NOTHING: Mapping[str, Any] = MappingProxyType({})
NUMBER_MAX = 1e300
Seen = str
"""What a witness saw, in words; a mapping or a list in a history from elsewhere is put into words."""
Moment = float
"""Unix seconds by the wall clock of the machine."""


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Payload:
    """What an event of one kind says: a frozen dataclass, by keywords. One that names its kind is in `KINDS` under it.

    Made without generated code: with `dataclasses`, importing all kinds takes a tenth of a second, in every process.
    """

    KIND: ClassVar[str] = ""
    _fields: ClassVar[tuple[tuple[str, str, Callable[[], Any], bool], ...]] = ()
    """Name, type without its parts, what makes the default, and whether the class names it."""

    def __init_subclass__(cls, kind: str = "") -> None:
        own = get_annotations(cls)
        cls._fields = (*cls._fields, *(_field(name, wanted, cls.__dict__) for name, wanted in own.items()))
        cls.KIND = kind
        if kind:
            KINDS[kind] = cls

    def __init__(self, **given: Any) -> None:
        values = vars(self)
        for name, _, default, named in self._fields:
            values[name] = given.pop(name, MISSING)
            if values[name] is MISSING:
                if not named:
                    raise TypeError(f"{type(self).__name__}: {name} is missing")
                values[name] = default()
        if given:
            raise TypeError(f"{type(self).__name__}: it has no {', '.join(given)}")

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} cannot be set")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(other) == vars(self)

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Self:
        made = object.__new__(cls)
        values = made.__dict__
        for name, base, default, _ in cls._fields:
            value = data.get(name)
            if value is not None:
                value = _BASES[base][1](value)
            values[name] = default() if value is None else value
        return made

    def data(self) -> dict[str, Any]:
        """As plain JSON; what its class names as the default and says nothing is left out."""
        found = ((name, getattr(self, name), default, named) for name, _, default, named in self._fields)
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value, default, named in found
            if value or not named or value != default()
        }

    def earlier(self, by: float) -> dict[str, float]:
        """Its moments, so many seconds earlier."""
        found = ((name, getattr(self, name)) for name, base, _, _ in self._fields if base == "Moment")
        return {name: at - by for name, at in found if at is not None}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"


KINDS: dict[str, type[Payload]] = {}


def plain(value: Any) -> str:
    """As one line: a text as it is, a mapping as key value pairs."""
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {plain(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(plain(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _field(name: str, wanted: str, given: Mapping[str, Any]) -> tuple[str, str, Callable[[], Any], bool]:
    base = wanted.partition("[")[0].partition(" ")[0]
    if name in given:
        return name, base, lambda: given[name], True
    return name, base, (lambda: None) if wanted.endswith("| None") else _BASES[base][2], False


def _only(*types: type) -> Callable[[Any], Any]:
    # A whole number beyond a float's range is no time and no count of anything.
    def read(value: Any) -> Any:
        fits = isinstance(value, types) and (bool in types or not isinstance(value, bool))
        return value if fits and not (float in types and abs(value) >= NUMBER_MAX) else None

    return read


def _sequence(value: Any) -> tuple[Any, ...] | None:
    return tuple(value) if isinstance(value, list | tuple) else None


_NUMBER = ("a number", _only(int, float), float)
_BASES: Mapping[str, tuple[str, Callable[[Any], Any], Callable[[], Any]]] = {
    "str": ("a text", plain, str),
    "Seen": ("", plain, str),
    "float": _NUMBER,
    "Moment": _NUMBER,
    "int": ("a whole number", _only(int), int),
    "bool": ("true or false", _only(bool), bool),
    "Mapping": ("an object", _only(Mapping), dict),
    "Sequence": ("a list", _sequence, tuple),
    "Any": ("", lambda value: value, lambda: None),
}
"""By type: what it is called ("" where anything goes), how it is read (None: it is none), and what it is without."""
_ENVELOPE = {"at": "float", "kind": "str", "source": "str", "data": "Mapping", "sequence": "int"}


def envelope_problem(record: Mapping[str, Any]) -> str:
    """What is wrong with an event's own fields: `at: got 'x', expected a number`; "" for nothing."""
    for name, kind in _ENVELOPE.items():
        if name not in record:
            return f"{name}: missing, expected {_BASES[kind][0]}"
        if problem := _problem(name, record[name], kind):
            return problem
    return ""


def data_problem(payload: Payload, data: Mapping[str, Any]) -> str:
    """What is wrong with the data of an event: `data.ok: got 'x', expected true or false`; "" for nothing."""
    for name, base, _, _ in payload._fields:
        if data.get(name) is not None and (problem := _problem(f"data.{name}", data[name], base)):
            return problem
    for name, column in vars(payload).get("columns", {}).items():
        if problem := _problem(f"data.columns.{name}", column, "Sequence"):
            return problem
    return ""


def _problem(name: str, value: object, base: str) -> str:
    expected, read, _ = _BASES[base]
    fits = isinstance(value, str) if base == "str" else not expected or read(value) is not None
    text = repr(value)
    return "" if fits else f"{name}: got {text if len(text) <= 60 else f'{text[:59]}…'}, expected {expected}"


class Unknown(Payload):
    """An event of a kind that this version does not know; `Event.data` has what it says."""
