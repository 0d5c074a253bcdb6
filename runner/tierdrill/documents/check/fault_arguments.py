"""The arguments of a fault, wherever a document has them: what they name is there, and numbers are within bounds."""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from tierdrill.documents.environment_inventory import Inventory
from tierdrill.documents.problems import parted
from tierdrill.documents.reading.reading_state import Place
from tierdrill.faults.kind import FaultKind, UnknownFault
from tierdrill.remedies.known_remedies import IN_PLAYBOOKS


def check_names(
    fault: FaultKind, arguments: Mapping[str, Any], inventory: Inventory, at: Callable[[str], Place]
) -> None:
    """Reports what is not there, at the place of its argument. What a variable is still to say may be anything."""
    for name, word, what, there in _named(fault, arguments, inventory):
        if "${" not in word:
            at(name).known(word, what, there)


def _named(
    fault: FaultKind, arguments: Mapping[str, Any], inventory: Inventory
) -> Iterator[tuple[str, str, str, Collection[str]]]:
    """Each argument that names something: itself, the word, what that is to be, and all that there are of it."""
    words, kind = fault.words(arguments), fault.target_kind
    if kind == "link":
        for name, word in zip(fault.identity, words, strict=True):
            if word != "*":
                yield name, word, "host", inventory.hosts
    elif kind == "gpu" and words[0] not in inventory.nodes:
        yield "node", words[0], "node", inventory.nodes
    elif fault.identity:
        there = [one for one in inventory.of_kind(kind) if not fault.among or one in fault.among]
        yield fault.identity[-1], fault.target(arguments), {"gpu": "GPU"}.get(kind, kind), there
    for one in fault.settings:
        if one.names and one.name in arguments:
            there = [*IN_PLAYBOOKS] if one.names == "remedy" else [*inventory.of_kind(one.names)]
            yield one.name, str(arguments[one.name]), one.names, there


def check_bounds(fault: FaultKind, arguments: Mapping[str, Any], at: Callable[[str], Place]) -> None:
    """Reports each of the numbers that the fault cannot have, at the place of its argument."""
    for one in fault.parameters:
        value = arguments.get(one.name)
        if one.bounds is None or value is None or "${" in str(value):
            continue
        try:
            one.checked(fault.kind, value)
        except UnknownFault as error:
            at(one.name).report(*parted(str(error)))
