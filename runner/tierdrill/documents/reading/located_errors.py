"""Turns what pydantic says about a document into problems with a place, in the words of people who write documents."""

import math
import re
import types
import typing
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from tierdrill.did_you_mean import nearest
from tierdrill.documents.calendar.moments import CLOCK_PATTERN, DATE_PATTERN, MOMENT_FORM, MOMENT_PATTERN
from tierdrill.documents.models.units import DURATION_PATTERN, NAME_PATTERN, PERCENT_PATTERN, RATE_PATTERN
from tierdrill.documents.problems import Problem, parted, shown
from tierdrill.documents.reading.drill_templates import HEAD
from tierdrill.documents.reading.yaml_positions import Source
from tierdrill.text import either, listed

Loc = tuple[int | str, ...]
PLACES_MAX = 500

_TYPES = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "dataclass_type": "a mapping",
}
_BOUNDS = {
    "greater_than": "a number above {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "less_than": "a number below {lt}",
    "less_than_equal": "a number of at most {le}",
    "too_short": "a list of at least {min_length}",
    "too_long": "a list of at most {max_length}",
}
_PATTERNS = {
    NAME_PATTERN: "a name: lower-case letters, digits and hyphens, at most 63, a letter or digit at both ends",
    DURATION_PATTERN: "a duration with its unit, such as 500ms, 12s, 5m or 1h",
    PERCENT_PATTERN: "a percentage such as 99.5%",
    RATE_PATTERN: "a rate with its unit, such as 60/s",
    CLOCK_PATTERN: "a time of day such as 02:30 (or 24:00, the end of the day)",
    DATE_PATTERN: "a date such as 2026-12-24",
    MOMENT_PATTERN: MOMENT_FORM,
}
_YAML_1_1 = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}


def problems_of(
    error: ValidationError, source: Source, model: type[BaseModel], *, partial: bool = False
) -> list[Problem]:
    """Every error of a validation, at the key or value it is about; of a file of nonsense, the first few hundred.

    What is `partial` may leave out keys, save in its head and in lists.
    """
    at_place: dict[Loc, list[dict[str, Any]]] = {}
    for each in error.errors(include_url=False):
        if each["type"] == "too_short" and len(each["input"]) >= each["ctx"]["min_length"]:
            # Only short of what else is wrong with its items.
            continue
        if partial and each["type"] == "missing" and _may_be_left_out(each["loc"]):
            continue
        loc = _real(each["loc"], source.data, missing=each["type"] == "missing")
        at_place.setdefault(loc, []).append(typing.cast("dict[str, Any]", each))
    problems = []
    if len(at_place) > PLACES_MAX:
        found = f"{len(at_place)} problems; the first {PLACES_MAX} are shown"
        problems.append(source.problem((), found, "a document of this kind"))
    for loc, errors in list(at_place.items())[:PLACES_MAX]:
        if len(errors) > 1 and all(each["type"] in _TYPES for each in errors):
            # Several types were tried for one value: one problem, with all of them allowed.
            allowed = either(dict.fromkeys(_TYPES[each["type"]] for each in errors))
            problems.append(
                source.problem(loc, f"{_of(loc)}got {shown(errors[0]['input'])}", f"expected {allowed}")
            )
        else:
            problems += [_one(each, loc, source, model) for each in errors]
    return problems


def _may_be_left_out(loc: Loc) -> bool:
    return loc[0] not in HEAD and not any(isinstance(step, int) for step in loc)


def _one(error: dict[str, Any], loc: Loc, source: Source, model: type[BaseModel]) -> Problem:
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        return _unknown_member(error, loc, source)
    if kind == "extra_forbidden":
        allowed = fields_at(model, loc[:-1], source.data)
        absent = [name for name in allowed if name not in _within(source.data, loc[:-1])]
        return source.problem(
            loc,
            f"unknown key {shown(loc[-1])}{_in(loc[:-1])}",
            f"expected {either(allowed, 30)}",
            nearest(loc[-1], absent) or nearest(loc[-1], allowed),
            key=True,
        )
    if kind == "missing":
        return source.problem(
            loc[:-1],
            f"no key {shown(loc[-1])}{_in(loc[:-1])}",
            f"{loc[-1]} is required{_as_what(model, loc, source.data)}",
            key=True,
        )
    if "[key]" in error["loc"] and kind == "string_pattern_mismatch":
        return source.problem(loc, f"key {shown(loc[-1])}", f"expected {_PATTERNS[NAME_PATTERN]}", key=True)
    if "[key]" in error["loc"]:
        words = _words(context.get("expected", ""))
        return source.problem(
            loc, f"key {shown(loc[-1])}", f"expected {either(words)}", nearest(loc[-1], words), key=True
        )
    if kind == "literal_error":
        words = _words(context["expected"])
        return source.problem(
            loc, f"{_of(loc)}got {shown(value)}", f"expected {either(words, 30)}", nearest(value, words)
        )
    if kind == "string_pattern_mismatch":
        allowed_text = _PATTERNS.get(context["pattern"], f"text like {context['pattern']}")
        hint = as_name(str(value)) if context["pattern"] == NAME_PATTERN else ""
        return source.problem(loc, f"{_of(loc)}got {shown(value)}", f"expected {allowed_text}", hint)
    if kind == "value_error":
        found, allowed_text = parted(str(context.get("error", error["msg"])))
        found = f"{_of(loc)}got {shown(value)}" if found.startswith("got ") else found
        return source.problem(loc, found, allowed_text or "see `tierdrill schema`", _with_unit(value, allowed_text))
    if kind in _TYPES:
        hint = _YAML_1_1.get(str(value).lower(), "") if kind == "bool_type" else ""
        if kind == "string_type" and isinstance(value, int | float):
            hint = f'"{shown(value)}"'
        return source.problem(loc, f"{_of(loc)}got {shown(value)}", f"expected {_TYPES[kind]}", hint)
    if kind in _BOUNDS:
        return source.problem(loc, f"{_of(loc)}got {shown(value)}", f"expected {_BOUNDS[kind].format(**context)}")
    return source.problem(loc, f"{_of(loc)}got {shown(value)}", str(error["msg"]))


def _unknown_member(error: dict[str, Any], loc: Loc, source: Source) -> Problem:
    """A part of several kinds whose kind is not given, or is none that there is."""
    context = error["ctx"]
    key = context["discriminator"].strip("'")
    if error["type"] == "union_tag_not_found":
        return source.problem(loc, f"no key {shown(key)}{_in(loc)}", f"{key} is required: it says of what kind it is")
    words = _words(context["expected_tags"])
    return source.problem(
        (*loc, key),
        f"{_of((*loc, key))}got {shown(context['tag'])}",
        f"expected {either(words, 30)}",
        nearest(context["tag"], words),
    )


def fields_at(model: type[BaseModel], path: Sequence[int | str], data: Any = None) -> list[str]:
    """The keys that the model allows at a path; none where the path leads to no model."""
    found = model_at(model, path, data)
    return list(found.model_fields) if found else []


def model_at(model: type[BaseModel], path: Sequence[int | str], data: Any = None) -> type[BaseModel] | None:
    """The model of the part that a path leads to; `data`, the document, tells the members of a union apart."""
    here: Any = model
    for step in path:
        here = _inner(here, step)
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            data = None
        here = _told_apart(here, data)
    return _as_model(here)


def _told_apart(annotation: Any, data: Any) -> Any:
    """The member of a union that the data's `type` names; the whole union where it names none."""
    for option in _options(annotation) if isinstance(data, dict) else ():
        if isinstance(option, type) and issubclass(option, BaseModel):
            field = option.model_fields.get("type")
            if field is not None and data.get("type") in typing.get_args(field.annotation):
                return option
    return annotation


def _inner(annotation: Any, step: int | str) -> Any:
    for option in _options(annotation):
        if isinstance(option, type) and issubclass(option, BaseModel):
            if isinstance(step, str) and step in option.model_fields:
                return option.model_fields[step].annotation
        elif isinstance(step, int) and typing.get_origin(option) in (tuple, list):
            return typing.get_args(option)[0]
        elif isinstance(step, str) and typing.get_origin(option) is dict:
            return typing.get_args(option)[1]
    return None


def _options(annotation: Any) -> list[Any]:
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _options(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return [option for member in typing.get_args(annotation) for option in _options(member)]
    return [annotation]


def _as_model(annotation: Any) -> type[BaseModel] | None:
    for option in _options(annotation):
        if isinstance(option, type) and issubclass(option, BaseModel):
            return option
    return None


def _as_what(model: type[BaseModel], loc: Loc, data: Any) -> str:
    owner = model_at(model, loc[:-1], data)
    if owner is None or not isinstance(loc[-1], str) or loc[-1] not in owner.model_fields:
        return ""
    examples = owner.model_fields[loc[-1]].examples
    if examples:
        return f", such as {examples[0]}"
    inner = _as_model(owner.model_fields[loc[-1]].annotation)
    return f" (a mapping of {listed(inner.model_fields, 12)})" if inner else ""


def _real(loc: Loc, data: Any, *, missing: bool) -> Loc:
    """The loc without what pydantic adds to it: the names of union members and the mark of a bad key."""
    path: list[int | str] = []
    for number, step in enumerate(loc):
        if step == "[key]":
            continue
        if isinstance(data, dict) and step not in data and step == data.get("type"):
            # A union told apart by `type`: pydantic names the member.
            continue
        inside = (isinstance(data, dict) and step in data) or (
            isinstance(data, list) and isinstance(step, int) and step < len(data)
        )
        if not inside:
            # Only a missing key is not in the data and yet a part of the place.
            if missing and number == len(loc) - 1:
                path.append(step)
            break
        data = data[step]
        path.append(step)
    return tuple(path)


def _within(data: Any, path: Loc) -> Any:
    for step in path:
        data = data[step]
    return data if isinstance(data, dict) else {}


def _words(expected: str) -> list[str]:
    return re.findall(r"'([^']*)'", expected)


def spelled(path: Sequence[int | str]) -> str:
    """A path as people write it: `load.streams[0].rate`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


def _of(loc: Loc) -> str:
    return f"{spelled(loc)}: " if loc else ""


def _in(loc: Loc) -> str:
    return f" in {spelled(loc)}" if loc else ""


def as_name(text: str) -> str:
    """The legal name most like the text; "" where the text is one."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", text)
    name = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[:63].strip("-")
    return name if name != text else ""


def _with_unit(value: Any, allowed: str) -> str:
    """A bare number's likeliest meaning, written with its unit."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return _shaped(value, allowed) if isinstance(value, str) else ""
    if "duration" in allowed:
        return f"{value:g}s"
    if "percentage" in allowed:
        return f"{round(value * 100, 6):g}%" if 0 < value <= 1 else f"{value:g}%" if value <= 100 else ""
    return f"{value:g}/s" if "rate" in allowed else ""


def _shaped(text: str, allowed: str) -> str:
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Z/% ]*)", text)
    if not found:
        return ""
    number, unit = found[1], found[2].strip().lower()
    if "duration" in allowed:
        for letters, short in (
            ("ms", "ms"),
            ("milli", "ms"),
            ("min", "m"),
            ("s", "s"),
            ("h", "h"),
            ("d", "d"),
            ("m", "m"),
        ):
            if unit.startswith(letters):
                return f"{number}{short}"
        return f"{number}s" if not unit else ""
    if "percentage" in allowed:
        return f"{number}%" if float(number) <= 100 else ""
    if "rate" in allowed:
        return f"{number}/m" if "m" in unit else f"{number}/h" if "h" in unit else f"{number}/s"
    return ""
