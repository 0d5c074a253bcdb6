"""What keys mean: each in its mode, dangerous ones only after a question."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.gameday.support import ANA, AT, begun, document, finished, state_of
from tierdrill.gameday.console.input_state import Desk, Pasted, Pressed, items, paste, press
from tierdrill.gameday.gameday_commands import Command, decide
from tierdrill.gameday.gameday_model import GameDayState
from tierdrill.gameday.gameday_state import fold
from tierdrill.history.events import Event

NO_LIST = document(checklist={}, communications=[])


def typed(keys: list[str], state: GameDayState, desk: Desk | None = None) -> Pressed:
    """The last of these keys, after the others."""
    pressed = Pressed(desk or Desk(author=ANA))
    for key in keys:
        pressed = press(pressed.desk, key, state)
    return pressed


def test_next_begins_at_once_where_nothing_is_left_to_tick() -> None:
    assert typed(["n"], state_of(of=NO_LIST)).command == Command("next")


def test_next_asks_where_the_checklist_is_not_ticked() -> None:
    pressed = typed(["n"], state_of())
    assert pressed.command is None and "2 of 2 checklist items" in pressed.desk.prompt
    assert typed(["n", "y"], state_of()).command == Command("next")
    assert typed(["n", "n"], state_of()).command is None


def test_abort_asks_and_wants_a_reason() -> None:
    state = state_of(begun())
    assert typed(["a"], state).command is None
    assert typed(["a", "n"], state).command is None
    assert typed(["a", "y", *"harm", "enter"], state).command == Command("abort", ANA, "harm")
    assert typed(["a", "y", "escape"], state).command is None


def test_skip_asks_first() -> None:
    assert typed(["s", "y"], state_of(begun())).command == Command("skip", step=0)
    assert typed(["s", "y"], state_of(begun(), finished())).command == Command("skip", step=1)
    assert "Stop and skip node-loss" in typed(["s"], state_of(begun())).desk.prompt


def test_an_abort_that_was_thought_better_of_is_in_no_later_answer() -> None:
    state = state_of(begun())
    thought_better = typed(["a", "y", "escape"], state).desk
    assert typed(["s", "y"], state, thought_better).command == Command("skip", step=0)
    assert typed(["n", "y"], state_of(), thought_better).command == Command("next")


def test_a_note_is_of_whom_it_names() -> None:
    state = state_of(begun())
    assert typed(["o", *"scribe: it rang", "enter"], state).command == Command("note", "Cleo (scribe)", "it rang")
    assert typed(["o", *"ben: node-2!", "enter"], state).command == Command("note", "Ben (on-call)", "node-2!")
    assert typed(["o", *"http://x is down", "enter"], state).command == Command("note", ANA, "http://x is down")
    assert typed(["o", "enter"], state).command is None


def test_keys_that_steer_are_letters_in_a_note() -> None:
    pressed = typed(["o", *"nsraq", "enter"], state_of(begun()))
    assert pressed.command == Command("note", ANA, "nsraq") and not pressed.leaves


def test_a_finding_takes_what_who_and_until_when() -> None:
    state = state_of(begun())
    keys = ["f", *"alert is late", "enter", *"Ben", "enter", *"soon", "enter"]
    wrong = typed(keys, state)
    assert wrong.command is None and "2027-01-31" in wrong.desk.message
    right = typed(["kill-line", *"2027-02-03", "enter"], state, wrong.desk)
    assert right.command == Command("finding", ANA, "alert is late", owner="Ben", due="2027-02-03")
    bare = typed(["f", *"alert is late", "enter", "enter", "enter"], state)
    assert bare.command == Command("finding", ANA, "alert is late")


def test_the_checklist_and_what_is_due_are_ticked_by_number_or_by_moving() -> None:
    state = state_of()
    assert [item.text.partition(" ")[0] for item in items(state)] == ["everybody", "nothing", "tell", "tell"]
    assert typed(["c", "2"], state).command == Command("tick", number=1)
    assert typed(["c", "down", "down", "down", " "], state).command == Command("told", number=1)
    told = fold([Event(AT, "announcement.told", "x", {"announcement": 0, "step": None})], state)
    assert [item.done for item in items(told)] == [False, False, True, False]
    again = typed(["c", "3"], told).command
    assert again is not None and decide(told, again, AT).say == "already announced"
    ticked = fold([Event(AT, "checklist.ticked", "x", {"list": "before", "item": 1})], state)
    assert typed(["c", "2"], ticked).command == Command("tick", number=1, done=False)


def test_hypotheses_are_judged_one_after_the_other() -> None:
    state = state_of(begun(), finished())
    pressed = typed(["v", "u"], state)
    assert pressed.command == Command("answer", step=0, number=1, held="cannot tell")
    assert pressed.desk.mode == "keys"
    assert "no hypotheses" in typed(["v"], state_of()).desk.message


def test_ending_with_open_questions_asks() -> None:
    state = state_of(begun(), finished(), begun(1, at=AT + 300), finished(1, at=AT + 400))
    pressed = typed(["n"], state)
    assert pressed.command is None
    assert "1 hypothesis is not judged" in pressed.desk.prompt and "1 of 1 checklist items" in pressed.desk.prompt


def test_who_only_watches_writes_and_does_not_steer() -> None:
    watcher = Desk(watching=True, author="Cleo (scribe)")
    for key in "nsreacv":
        pressed = typed([key], state_of(begun()), watcher)
        assert pressed.command is None and "watching" in pressed.desk.message
    assert typed(["o", *"seen", "enter"], state_of(), watcher).command == Command("note", "Cleo (scribe)", "seen")


def test_pasted_text_is_words_or_nothing() -> None:
    assert "pasted" in paste(Desk(), Pasted("abort y y")).message
    line = typed(["o"], state_of()).desk
    assert paste(line, Pasted("two\nlines")).line.text == "two lines"


@given(st.lists(st.sampled_from([*"nserahofclvqy12 ?x", "enter", "escape", "up", "down", "tab"]), max_size=40))
def test_any_keys_in_any_order_give_commands_that_can_be_decided(keys: list[str]) -> None:
    state, desk = state_of(begun(), finished()), Desk(author=ANA)
    for number, key in enumerate(keys):
        pressed = press(desk, key, state)
        desk = pressed.desk
        if pressed.command is not None:
            decision = decide(state, pressed.command, AT + 200 + number)
            state = fold(decision.events, state)
            assert decision.say
