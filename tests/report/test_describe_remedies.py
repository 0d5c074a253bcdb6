"""What was put back after a playbook reads as what it is, in lines and in the story of a run."""

from __future__ import annotations

import pytest

from tierdrill.history.events import Event
from tierdrill.report.event_text import describe

SHED = "shed of best-effort at gateway-a"


@pytest.mark.parametrize(
    ("kind", "setting", "seen", "line", "level"),
    [
        ("remedy.gone", SHED, "as before", f"{SHED} is put back: as before", "info"),
        ("remedy.not_gone", SHED, "silence", f"{SHED} is NOT put back: silence", "bad"),
        ("remedy.gone", "weights of node-1", "1", "weights of node-1 are put back: 1", "info"),
        ("remedy.not_gone", "places", "2", "replicas away from home are NOT put back: 2", "bad"),
    ],
)
def test_what_a_playbook_left(kind: str, setting: str, seen: str, line: str, level: str) -> None:
    told = describe(Event(1.0, kind, "reaper", {"remedy": f"run-1/remedy/{setting}", "seen": seen}))
    assert told is not None and (told.text, told.level) == (line, level)


def test_that_it_is_being_put_back_is_nothing_to_tell() -> None:
    data = {"remedy": f"run-1/remedy/{SHED}", "by": "reaper"}
    assert describe(Event(1.0, "remedy.reverting", "reaper", data)) is None
