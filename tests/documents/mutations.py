"""Ways of breaking a good document that must be noticed, each chosen by a seeded generator.

Documents are written as JSON, which is YAML, so that a duplicated key or a cut is made at a known place of the text.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.documents.support import CALENDAR, DRILL, ENVIRONMENT, EXPERIMENT, GAMEDAY, GOOD, PLAYBOOK, TIERS, WORKLOADS
from tierdrill.documents.catalogue import KINDS
from tierdrill.documents.reading.located_errors import model_at

Path_ = tuple[str | int, ...]
DOCUMENTS = (
    DRILL, TIERS, WORKLOADS, ENVIRONMENT, PLAYBOOK, "playbooks/restart-replica.yaml", EXPERIMENT, GAMEDAY, CALENDAR,
)  # fmt: skip
# Mappings in which people choose the keys.
FREE = {"variables", "suites", "labels", "arguments", "configuration", "latency", "time_to_first_token", "queue_wait"}
QUANTITY = re.compile(r"[0-9.]+(ms|s|m|h|%|/s)$")
# Values that name something defined elsewhere, by the key they stand under.
REFERENCES = {
    DRILL: {"experiment", "environment", "tier", "model", "playbook", "target", "disable_playbook"},
    TIERS: {"may_preempt"},
    WORKLOADS: {"tiers", "tier", "model"},
    ENVIRONMENT: {"tiers", "workloads"},
    PLAYBOOK: {"tier", "fact"},
    EXPERIMENT: {"func"},
    GAMEDAY: {"drill", "environment", "tier", "variant"},
    CALENDAR: {"drill", "suite", "environment", "timezone"},
}  # fmt: skip
NEEDED_BY_CHAOS = {
    "title",
    "description",
    "method",
    "type",
    "name",
    "provider",
    "module",
    "func",
    "runtime",
    "strategy",
}


def read(path: str) -> dict[str, Any]:
    """A good document as plain data."""
    data = yaml.safe_load((GOOD / path).read_text(encoding="utf-8"))
    assert isinstance(data, dict)
    return data


def walk(value: Any, path: Path_ = ()) -> Iterator[tuple[Path_, Any]]:
    """Every part of a document with its path."""
    yield path, value
    if isinstance(value, dict):
        for key, item in value.items():
            yield from walk(item, (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from walk(item, (*path, number))


def at(data: Any, path: Path_) -> Any:
    """The part at a path."""
    for step in path:
        data = data[step]
    return data


def pick(source: random.Random, data: dict[str, Any], fits: Callable[[Path_, Any], bool]) -> Path_ | None:
    """One of the fitting places, or None where there is none."""
    found = [path for path, value in walk(data) if path and fits(path, value)]
    return source.choice(found) if found else None


def delete_key(source: random.Random, name: str, data: dict[str, Any]) -> str | None:
    """Take away a key that is required."""
    model = KINDS.get(data.get("kind", ""))

    def required(path: Path_, _: Any) -> bool:
        if not isinstance(path[-1], str) or (path[-2:-1] and path[-2] in FREE):
            return False
        if model is None:
            return path[-1] in NEEDED_BY_CHAOS and "configuration" not in path
        owner = model_at(model, path[:-1])
        return owner is not None and path[-1] in owner.model_fields and owner.model_fields[path[-1]].is_required()

    path = pick(source, data, required)
    if path is None:
        return None
    del at(data, path[:-1])[path[-1]]
    return json.dumps(data, indent=1)


def duplicate_key(source: random.Random, name: str, data: dict[str, Any]) -> str | None:
    """Write one key of a mapping twice, the second time with another value."""
    path = pick(source, data, lambda path, _: isinstance(path[-1], str))
    assert path is not None
    mark = "?duplicate?"
    at(data, path[:-1])[mark] = "again"
    return json.dumps(data, indent=1).replace(json.dumps(mark), json.dumps(path[-1]))


def wrong_type(source: random.Random, name: str, data: dict[str, Any]) -> str | None:
    """Put a mapping where a scalar was, or text where there was a mapping or a list."""

    def fits(path: Path_, value: Any) -> bool:
        if "kind" in data:
            return path[-2:-1] != ("arguments",)
        return (
            path[-1] in (NEEDED_BY_CHAOS | {"rollbacks", "configuration", "tags"}) and "configuration" not in path[:-1]
        )

    path = pick(source, data, fits)
    assert path is not None
    old = at(data, path)
    at(data, path[:-1])[path[-1]] = "nonsense" if isinstance(old, dict | list) else {"nonsense": [old]}
    return json.dumps(data, indent=1)


def wrong_unit(source: random.Random, name: str, data: dict[str, Any]) -> str | None:
    """A quantity without its unit, or with one that there is not."""
    path = pick(source, data, lambda path, value: isinstance(value, str) and QUANTITY.match(value) is not None)
    if path is None:
        return None
    number = re.match(r"[0-9.]+", at(data, path))
    assert number is not None
    new = source.choice(
        [float(number[0]), int(float(number[0])), number[0], f"{number[0]} apples", f"-{at(data, path)}", None]
    )
    if new is None and model_accepts_none(data, path):
        new = "soon"
    at(data, path[:-1])[path[-1]] = new
    return json.dumps(data, indent=1)


def model_accepts_none(data: dict[str, Any], path: Path_) -> bool:
    """Whether nothing is a legal value there (the field is optional)."""
    owner = model_at(KINDS[data["kind"]], path[:-1])
    return owner is not None and "None" in str(owner.model_fields[str(path[-1])].annotation)


def misspelled_key(source: random.Random, name: str, data: dict[str, Any]) -> str | None:
    """Two letters of a key swapped, one dropped or one doubled."""

    def fits(path: Path_, _: Any) -> bool:
        if not isinstance(path[-1], str) or len(path[-1]) < 4 or (path[-2:-1] and path[-2] in FREE):
            return False
        return "kind" in data or path[-1] in NEEDED_BY_CHAOS - {"type", "name"}

    path = pick(source, data, fits)
    if path is None:
        return None
    holder = at(data, path[:-1])
    word = str(path[-1])
    spot = source.randrange(1, len(word) - 1)
    new = source.choice(
        [
            word[:spot] + word[spot + 1 :],
            word[:spot] + word[spot] + word[spot:],
            word[: spot - 1] + word[spot] + word[spot - 1] + word[spot + 1 :],
        ]
    )
    if new in holder:
        return None
    holder[new] = holder.pop(path[-1])
    return json.dumps(data, indent=1)


def dangling_reference(source: random.Random, name: str, data: dict[str, Any]) -> str | None:
    """A name that nothing has."""
    keys = REFERENCES.get(name, set())

    def fits(path: Path_, value: Any) -> bool:
        under = path[-1] if isinstance(path[-1], str) else path[-2]
        return isinstance(value, str) and under in keys and "${" not in value and "metadata" not in path

    path = pick(source, data, fits)
    if path is None:
        return None
    at(data, path[:-1])[path[-1]] = at(data, path) + source.choice(["x", "-2", "s"])
    return json.dumps(data, indent=1)


def truncation(source: random.Random, name: str, data: dict[str, Any]) -> str | None:
    """The file ends too early."""
    text = json.dumps(data, indent=1)
    return text[: source.randrange(1, len(text) - 1)]


def noise(source: random.Random, name: str, data: dict[str, Any]) -> bytes:
    """Bytes that are no text, somewhere in the file."""
    raw = (GOOD / name).read_bytes()
    spot = source.randrange(len(raw))
    # No byte of these begins a character, so that chance cannot make a legal letter of them.
    bad = bytes(source.choice([*range(9), *range(14, 32), *range(0x80, 0xC0)]) for _ in range(source.randint(1, 4)))
    return raw[:spot] + bad + raw[spot:]


MUTATIONS: tuple[Callable[[random.Random, str, dict[str, Any]], str | bytes | None], ...] = (
    delete_key, duplicate_key, wrong_type, wrong_unit, misspelled_key, dangling_reference, truncation, noise,
)  # fmt: skip


def broken(
    source: random.Random, name: str, how: Callable[[random.Random, str, dict[str, Any]], str | bytes | None]
) -> bytes | None:
    """The document, broken that way; None where that way does not apply to it."""
    made = how(source, name, read(name))
    return made.encode() if isinstance(made, str) else made


def put(root: Path, name: str, raw: bytes) -> None:
    """Write it in its place."""
    (root / name).write_bytes(raw)
