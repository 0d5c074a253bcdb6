"""How a foreign remediator is judged, whatever cluster shows what it does: a module of tests gives `look`."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import pytest

from tests.foreign_remediator import of, wrong
from tierdrill.judge.verdict import Status, Verdict

Judge = Callable[..., Verdict]


class RemediatorCases:
    """`other` is a node that has no fault, and `blip_s` how long a blip's lasts."""

    other: ClassVar[str]
    blip_s: ClassVar[float]

    def test_present_it_passes_every_check(self, look: Judge) -> None:
        found = look()
        assert set(of(found).values()) == {Status.PASSED}, [one for one in found.checks if one.group == "playbook"]
        assert {"fired", "cause", "target", "deadline", "count", "effect", "given-back"} <= set(of(found))

    def test_absent_it_never_ran(self, look: Judge) -> None:
        assert {"fired", "target", "count"} <= wrong(look(present=False))

    def test_on_the_wrong_node_it_fails_by_its_target_and_has_no_cause(self, look: Judge) -> None:
        assert {"target", "cause"} <= wrong(look(on=self.other))

    def test_late_it_fails_by_its_deadline_alone(self, look: Judge) -> None:
        assert wrong(look(history={"late_s": 9.0})) == {"deadline", "effect"}

    def test_twice_it_fails_by_its_count(self, look: Judge) -> None:
        assert "count" in wrong(look(times=2))

    @pytest.mark.parametrize(("hold_s", "silent"), [(0.0, False), (30.0, True)], ids=["hasty", "patient"])
    def test_on_a_blip_only_one_that_waits_stays_silent(self, look: Judge, hold_s: float, silent: bool) -> None:
        found = look(history={"variant": "blip", "lasts_s": self.blip_s}, hold_s=hold_s)
        assert ("silent" in wrong(found)) is not silent
        assert (found.check("playbook/all/silent") is not None) is silent
