"""The registry of fault kinds: one file each, and everybody else reads it."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

from tierdrill.chaos import actions
from tierdrill.documents.reading.fault_actions import LEASE, MODULE
from tierdrill.faults import kinds
from tierdrill.faults.kind import IDENTITY, FaultKind, UnknownFault, modules_by_kind
from tierdrill.faults.known_kinds import ACTIONS, KINDS, UNDOS, arguments_of, checked_parameters, disrupts

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "runner/tierdrill"
PAGE = ROOT / "docs/faults.md"


def test_a_file_is_named_after_the_kind_in_it() -> None:
    assert [kind for kind, _ in modules_by_kind(kinds)] == [fault.kind for fault in KINDS.values()]
    assert len(KINDS) == len(ACTIONS) >= 13


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_says_everything(kind: str) -> None:
    fault = KINDS[kind]
    assert all((fault.cause, fault.visible, fault.undone, fault.proof, fault.does.endswith(".")))
    assert fault.source.startswith("https://")
    names = [one.name for one in fault.parameters]
    assert len(set(names)) == len(names) and LEASE not in names
    for one in fault.parameters:
        assert one.meaning and (one.default is None or one.checked(kind, one.default) == one.default)
    # One undo may be of several kinds, and must know from its arguments what to undo.
    assert {one.target_kind for one in UNDOS[fault.undo]} == {fault.target_kind}
    assert fault.undo not in ACTIONS


@pytest.mark.parametrize("name", [*ACTIONS, *UNDOS])
def test_an_action_takes_what_its_kind_says(name: str) -> None:
    assert actions.__name__ == MODULE and sorted((*ACTIONS, *UNDOS)) == sorted(actions.__all__)
    signature = inspect.signature(getattr(actions, name))
    missing = inspect.Parameter.empty
    expected = [(one.name, missing if one.default is None else one.default) for one in arguments_of(name)]
    if name in ACTIONS:
        expected.append((LEASE, None))
    assert [(one.name, one.default) for one in signature.parameters.values()] == expected
    assert inspect.getdoc(getattr(actions, name))


@pytest.mark.parametrize("kind", KINDS)
def test_what_may_be_left_out_is_filled_in_and_what_may_not_is_named(kind: str) -> None:
    fault = KINDS[kind]
    least = dict.fromkeys(fault.required, "a-name")
    assert list(checked_parameters(kind, least)) == [one.name for one in fault.parameters]
    for missing in fault.required[:1]:
        with pytest.raises(UnknownFault, match=f"{missing} is missing"):
            checked_parameters(kind, dict.fromkeys(fault.required[1:], "a-name"))


def test_a_target_is_named_as_alerts_name_it() -> None:
    same = {"replica": "r", "node": "n", "gateway": "g", "stream": "s", "tier": "t", "store": "e"}
    alone = {kind: kind for kind in ("prometheus", "alertmanager", "engine")}
    told, given = {**same, **alone, "gpu": "n/0", "link": "a>b"}, {**same, "source": "a", "destination": "b"}
    assert {fault.target_kind: fault.target(given) for fault in KINDS.values()} == told
    assert set(told) == set(IDENTITY)
    assert KINDS["gpu-fallen-off-bus"].target({**given, "gpu": 3}) == "n/3"
    assert KINDS["link-latency"].target({}) == ">"


def test_what_is_filled_in_of_a_throttle() -> None:
    assert checked_parameters("gpu-thermal-throttle", {"node": "node-1"}) == {
        "node": "node-1", "gpu": 0, "clock_percent": 40, "temperature_c": 92,
    }  # fmt: skip


def test_only_what_changes_no_service_disrupts_nothing() -> None:
    assert {kind for kind in KINDS if not disrupts(kind)} == {
        "gpu-nvlink-errors", "gpu-pcie-replays", "gpu-row-remap-pending", "xid-noise", "telemetry-loss",
        "telemetry-stale", "node-disk-full", "node-clock-skew",
    }  # fmt: skip
    assert disrupts("foreign")


def named_faults(text: str) -> Iterator[tuple[int, str]]:
    """Where a program has the name of a kind or of its actions as a value: in a table, a ladder, a special case."""
    names = {*KINDS, *ACTIONS, *UNDOS}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and node.value in names:
            yield node.lineno, str(node.value)


def test_no_fault_is_named_in_a_second_table() -> None:
    programs = [path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE / "faults/kinds"]
    found = [
        f"{path.relative_to(PACKAGE)}:{line}: {name}"
        for path in programs
        for line, name in named_faults(path.read_text(encoding="utf-8"))
    ]
    assert len(programs) > 300 and found == []
    assert list(named_faults('HARMLESS = {"xid-noise"}\nif kind == "bit-flip": pass')) == [
        (1, "xid-noise"), (2, "bit-flip"),
    ]  # fmt: skip
    for kind in KINDS:
        path = PACKAGE / "faults/kinds" / f"{kind.replace('-', '_')}.py"
        assert {name for _, name in named_faults(path.read_text(encoding="utf-8"))} == {
            kind, KINDS[kind].action, KINDS[kind].undo,
        }  # fmt: skip


def described(fault: FaultKind) -> str:
    """What the page of faults says of a kind."""
    takes = []
    for one in fault.parameters:
        low, high = one.bounds or (0, 0)
        bounds = f" ({low:,} to {high:,}{' ' * bool(one.unit)}{one.unit}; {one.default} if left out)"
        takes.append(f"`{one.name}`" + (bounds if one.bounds else ""))
    return f"""### {fault.kind}

- **Cause:** {fault.cause} ([source]({fault.source})).
- **Visible:** {fault.visible}.
- **Action:** `{fault.action}`, which takes {", ".join(takes) or "nothing"}; undone by `{fault.undo}`: {fault.undone}.
- **Proof:** {fault.proof}.
"""


def test_the_page_of_faults_says_what_the_registry_says() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page.partition("## The kinds\n\n")[2] == "\n".join(described(fault) for fault in KINDS.values())
