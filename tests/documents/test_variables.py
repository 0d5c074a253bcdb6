"""A drill changed for one run: values read as the drill's own are written, and refused where they cannot be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.documents.support import GOOD
from tierdrill.documents.catalogue_reader import read_catalogue
from tierdrill.documents.check.check_context import Context
from tierdrill.documents.check.variables import override_problems
from tierdrill.documents.models.drill import Drill, Guardrail, Scalar
from tierdrill.documents.variables import (
    parse_guardrail,
    parse_set,
    show_guardrail,
    with_guardrails,
    with_variables,
)


def drill() -> Drill:
    return read_catalogue(GOOD).catalogue.drills["node-loss"]


def numbered() -> Drill:
    return drill().model_copy(update={"variables": {"gpu": 0, "share": 0.5, "deep": True, "node": "node-1"}})


@pytest.mark.parametrize(
    ("text", "value"),
    [("gpu=1", 1), ("gpu=-1", -1), ("share=2", 2.0), ("deep=false", False), ("node=node-3", "node-3"), ("node=", "")],
)
def test_a_value_is_read_as_the_drills_own_is_written(text: str, value: object) -> None:
    name, read = parse_set(numbered(), text)
    assert (name, read, type(read)) == (text.partition("=")[0], value, type(value))


@pytest.mark.parametrize("text", ["gpu=one", "deep=maybe", "node", "=1", "nodes=1", "share=half"])
def test_what_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"; |, expected "):
        parse_set(numbered(), text)


@given(st.integers(1, 999), st.integers(1, 3600), st.integers(1, 500))
def test_a_guardrail_is_shown_as_it_is_read(permille: int, window: int, requests: int) -> None:
    one = Guardrail(
        tier="critical", availability_below=permille / 1000, window=float(window), requests_at_least=requests
    )
    assert parse_guardrail(show_guardrail(one)) == one


@pytest.mark.parametrize("text", ["critical", "critical:90%", "critical:90:3s", ":90%:3s", "critical:90%:3s:x"])
def test_a_guardrail_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_guardrail(text)


def test_a_guardrail_stands_once_beside_the_drills_own() -> None:
    one = parse_guardrail("critical:90%:3s")
    twice = with_guardrails(with_guardrails(drill(), [one]), [one])
    assert twice.guardrails == (*drill().guardrails, one)


@pytest.mark.parametrize(
    ("target", "to", "own", "set_to", "after"),
    [
        ("${node}", "node-2", {"node": "node-1"}, {"node": "node-2"}, "node-1"),
        ("${node}", "node-2", {"node": "node-1"}, {"node": "node-3"}, "node-2"),
        ("${node}/${gpu}", "node-3/0", {"node": "node-1", "gpu": 1}, {"node": "node-3"}, "node-1/1"),
    ],
)
def test_a_wrong_target_stays_wrong(
    target: str, to: str, own: dict[str, Scalar], set_to: dict[str, Scalar], after: str
) -> None:
    plain = drill().model_dump(mode="json") | {"variables": own}
    plain["expect"]["playbooks"]["must_fire"] = [{"playbook": "reschedule-critical", "target": target}]
    do = {"retarget_playbook": "reschedule-critical", "to": to}
    plain["sabotages"] = [{"name": "wrong-target", "do": do, "fails": ["playbook/reschedule-critical/target"]}]
    assert with_variables(Drill.model_validate(plain), set_to).sabotages[0].do.to == after


def test_only_what_the_change_makes_wrong_is_told() -> None:
    context = Context(read_catalogue(GOOD), None)
    assert override_problems(context, drill(), {"node": "node-1"}) == []
    [(found, allowed, _)] = override_problems(context, drill(), {"node": "node-9"})
    assert "no node named 'node-9'" in found and "node-3" in allowed
    assert with_variables(drill(), {}) == drill()
