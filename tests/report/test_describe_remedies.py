"""What was put back after a playbook reads as what it is, in lines and in the story of a run."""

from __future__ import annotations

import pytest

from tierdrill.history.events import Event
from tierdrill.report.event_text import describe

REMEDY = "run-1/remedy/shed of best-effort at gateway-a"


@pytest.mark.parametrize(
    ("kind", "data", "line", "level"),
    [
        ("remedy.gone", {"seen": "as before"}, "shed of best-effort at gateway-a is put back: as before", "info"),
        ("remedy.not_gone", {"seen": "silence"}, "shed of best-effort at gateway-a is NOT put back: silence", "bad"),
    ],
)
def test_what_a_playbook_left(kind: str, data: dict[str, str], line: str, level: str) -> None:
    told = describe(Event(1.0, kind, "reaper", {"remedy": REMEDY, **data}))
    assert told is not None and (told.text, told.level) == (line, level)


def test_that_it_is_being_put_back_is_nothing_to_tell() -> None:
    assert describe(Event(1.0, "remedy.reverting", "reaper", {"remedy": REMEDY, "by": "reaper"})) is None
