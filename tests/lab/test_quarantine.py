"""Which prompts are kept off: those under which replicas end again and again, and no others."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tierdrill.lab.gateway.quarantine import ANSWERED_MAX, ENDED_MIN, HELD_S, PROMPTS_MAX, Quarantine

PROMPTS, REPLICAS = st.sampled_from("abcdefg"), st.sampled_from(["one", "two", "three"])
DEEDS = st.lists(st.tuples(st.sampled_from(["ended", "answered", "waited"]), PROMPTS, REPLICAS), max_size=40)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        self.now += 0.001
        return self.now


@given(DEEDS)
def test_a_prompt_is_held_that_two_replicas_ended_by_since_its_last_answer(deeds: list[tuple[str, str, str]]) -> None:
    clock = Clock()
    here, there, shared = Quarantine(clock), Quarantine(clock), Quarantine(clock)
    ends: dict[str, dict[str, float]] = {}
    for deed, prompt, replica in deeds:
        if deed == "waited":
            clock.now += HELD_S / 3
        elif deed == "answered":
            here.answered(prompt)
            ends.pop(prompt, None)
        else:
            here.ended(prompt, replica)
            ends = {one: seen for one, seen in ends.items() if clock.now - max(seen.values()) < HELD_S - 0.5}
            ends.setdefault(prompt, {})[replica] = clock.now
    now = clock()
    recent = {prompt: seen for prompt, seen in ends.items() if now - max(seen.values()) < HELD_S - 0.5}
    expected = {prompt for prompt, seen in recent.items() if len(seen) >= ENDED_MIN}
    assert here.held() == (expected if len(expected) <= PROMPTS_MAX else set())
    assert all(here.holds(prompt) == (prompt in here.held()) for prompt in "abcdefg")
    # Whoever hears of it, and has answered none of it, thinks at least as ill of each prompt.
    shared.hear(here.news)
    there.hear(shared.suspects())
    assert set(here.suspects()) <= set(there.suspects())


def test_an_answer_elsewhere_does_not_bring_back_what_was_before_it() -> None:
    clock = Clock()
    one, other = Quarantine(clock), Quarantine(clock)
    one.ended("a", "x")
    one.ended("a", "y")
    other.answered("a")
    other.hear(one.news)
    assert one.held() == {"a"} and other.held() == set()
    clock.now += HELD_S
    assert one.held() == set(), "it is tried again"


def test_answers_are_remembered_within_bounds() -> None:
    clock = Clock()
    gateway = Quarantine(clock)
    for number in range(ANSWERED_MAX + 10):
        gateway.answered(str(number))
    gateway.hear({"0": {"x": 1.0, "y": 1.0}, "9": {"x": clock.now, "y": clock.now}})
    assert gateway.held() == {"9"}, "what was seen long ago says nothing"
