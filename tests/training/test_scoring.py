"""The score: what each line makes of a history, what it cannot judge, and that worse is never better."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.training.build import EFFECT_LAG_S, Sitting, catalogue, parameters_of, shipped, well_done
from tierdrill.training.scoring.exercise_score import score, score_history
from tierdrill.training.scoring.score_points import ScoreCard, ScoreLine

NAMES = sorted(catalogue().scenarios)
QUICK = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def card_of(sitting: Sitting) -> ScoreCard:
    """The card of a sitting."""
    return score_history(sitting.events())


def line_of(card: ScoreCard, line_id: str) -> ScoreLine:
    """A line that must be there."""
    line = card.line(line_id)
    assert line is not None
    return line


def kettle() -> Sitting:
    """The simplest scenario, done well: assistant-1 has crashed."""
    return well_done(shipped("amber-kettle")[0])


@pytest.mark.parametrize("name", NAMES)
def test_an_exercise_done_well_has_full_marks(name: str) -> None:
    card = card_of(well_done(shipped(name)[0]))
    assert (card.score, card.out_of) == (100.0, 100.0)
    assert all(line.judged and line.why and line.events for line in card.lines if line.of and line.id != "harm")


@pytest.mark.parametrize("name", NAMES)
def test_doing_nothing_earns_next_to_nothing(name: str) -> None:
    card = card_of(Sitting(shipped(name)[0]))
    assert card.score is not None
    assert card.score <= 15
    assert all(line.seen for line in card.lines)


def test_times_are_counted_from_page_and_effect() -> None:
    sitting = kettle()
    effect = sitting.scenario.incidents[0].at + EFFECT_LAG_S
    card = card_of(sitting)
    assert line_of(card, "acknowledge/replica").seconds == pytest.approx(3.0)
    assert line_of(card, "hypothesis/replica").seconds == pytest.approx(sitting.hypotheses[0][0] - effect)
    assert line_of(card, "mitigation/replica").seconds == pytest.approx(sitting.acts[0][0] - effect)


def test_half_way_between_the_time_allowed_and_three_times_it_half_of_the_points_are_left() -> None:
    sitting = kettle()
    incident = sitting.scenario.incidents[0]
    remedy, target = sitting.acts[0][1:3]
    at = incident.at + EFFECT_LAG_S + 2 * incident.mitigate_within
    sitting.acts = [(at, remedy, target, parameters_of(remedy, target))]
    line = line_of(card_of(sitting), "mitigation/replica")
    assert line.points == pytest.approx(line.of / 2, abs=0.02)


def test_mitigation_waits_for_the_tier_to_be_back_in_target() -> None:
    sitting = kettle()
    act = sitting.acts[0][0]
    sitting.bad = lambda tier, at: tier == "critical" and 21 < at < act + 20
    line = line_of(card_of(sitting), "mitigation/replica")
    effect = sitting.scenario.incidents[0].at + EFFECT_LAG_S
    assert line.seconds == pytest.approx(act + 20 - effect, abs=1.01)
    sitting.bad = lambda tier, at: tier == "critical" and at > 21
    line = line_of(card_of(sitting), "mitigation/replica")
    assert line.points == 0
    assert "not seen back in target" in line.seen


def test_an_action_that_was_refused_mends_nothing() -> None:
    sitting = kettle()
    _, remedy, target, _ = sitting.acts.pop()
    sitting.refused = [(40.0, remedy, target)]
    assert line_of(card_of(sitting), "mitigation/replica").points == 0


def test_an_action_that_gave_no_answer_counts_where_the_alert_was_over_right_after_it() -> None:
    sitting = kettle()
    at, remedy, target, _ = sitting.acts.pop()
    sitting.refused = [(at, remedy, target)]
    events = sitting.events()
    key = next(one.data["dedup_key"] for one in events if one.kind == "page.sent")
    for after, worked in ((5.0, True), (50.0, False)):
        over = replace(
            events[0], at=events[0].at + at + after, kind="page.resolved", sequence=9001,
            data={"dedup_key": key, "by": "alert"},
        )  # fmt: skip
        line = line_of(score_history([*events, over]), "mitigation/replica")
        assert line.points == (line.of if worked else 0)


def test_a_wrong_guess_costs_and_a_list_of_guesses_earns_nothing() -> None:
    sitting = kettle()
    right = sitting.hypotheses[0]
    full = line_of(card_of(sitting), "hypothesis/replica")
    sitting.hypotheses = [(right[0] - 5, "dead-node", None), right]
    one = line_of(card_of(sitting), "hypothesis/replica")
    assert one.points == pytest.approx(full.points * 0.75, abs=0.02)
    assert "dead-node" in one.seen
    guesses = ("dead-node", "hot-gpus", "lost-gpu", "slow-path")
    sitting.hypotheses = [(right[0] - 5 + n, cause, None) for n, cause in enumerate(guesses)] + [right]
    assert line_of(card_of(sitting), "hypothesis/replica").points == 0


def test_harm_and_needless_actions_are_told_with_their_reason() -> None:
    sitting = kettle()
    sitting.acts += [
        (30.0, "restart-replica", "assistant-0", {"replica": "assistant-0"}),
        (31.0, "reschedule", "node-3", {"node": "node-3"}),
    ]
    line = line_of(card_of(sitting), "harm")
    assert line.points == pytest.approx(line.of * 0.3, abs=0.02)
    assert "restart-replica assistant-0 (that replica was serving" in line.seen
    assert "reschedule node-3" in line.seen


def test_giving_back_is_no_harm() -> None:
    sitting = well_done(shipped("blue-ladder")[0])
    sitting.acts += [
        (100.0, "set-weight", "gateway-a>node-2", {"gateway": "gateway-a", "node": "node-2", "weight": 1.0}),
        (101.0, "uncordon", "node-2", {"node": "node-2"}),
        (102.0, "shed", "best-effort", {"tier": "best-effort", "fraction": 0.0}),
    ]
    assert card_of(sitting).score == 100.0


def test_the_more_important_tier_comes_first() -> None:
    sitting = well_done(shipped("iron-orchard")[0])
    assert line_of(card_of(sitting), "priority").points == 20.0
    first, second = sitting.acts
    sitting.acts = [(first[0], *second[1:]), (second[0], *first[1:])]
    card = card_of(sitting)
    assert line_of(card, "priority").points == 0
    assert "louder (standard) was fixed while dearer (critical) waited" in line_of(card, "priority").seen
    assert line_of(card, "mitigation/dearer").points == line_of(card, "mitigation/dearer").of


def test_a_playbook_may_be_followed_by_hand_in_its_order() -> None:
    sitting = well_done(shipped("silver-acorn")[0])
    steps = [step.do for step in catalogue().playbooks["drain-and-reboot-gpu-node"].steps]
    sitting.acts = [(50.0 + n, do, "node-1", parameters_of(do, "node-1")) for n, do in enumerate(steps)]
    assert card_of(sitting).score == 100.0
    sitting.acts = [(50.0 + n, do, "node-1", parameters_of(do, "node-1")) for n, do in enumerate(reversed(steps))]
    line = line_of(card_of(sitting), "playbook/gpu")
    assert 0 < line.points < line.of


def test_updates_are_counted_by_interval() -> None:
    sitting = well_done(shipped("green-umbrella")[0])
    full = line_of(card_of(sitting), "updates")
    sitting.updates = [(25.0, "a node is gone, we look into it")]
    assert line_of(card_of(sitting), "updates").points == pytest.approx(full.of / 2, abs=0.02)
    sitting.updates = [(sitting.acts[0][0] + 5, "its work is moved, all is well")]
    assert line_of(card_of(sitting), "updates").points == full.of
    sitting.updates = [(at, "  ") for at in (30.0, 80.0)]
    assert line_of(card_of(sitting), "updates").points == 0


def test_hints_cost_what_they_say() -> None:
    sitting = kettle()
    sitting.hints = [(30.0, 5), (31.0, 10)]
    card = card_of(sitting)
    assert card.score == 85.0
    assert line_of(card, "hints").points == -15.0


def test_an_unproven_fault_gives_no_score() -> None:
    sitting = kettle()
    sitting.landed = False
    card = card_of(sitting)
    assert card.score is None
    assert card.share is None
    assert "was not seen to land on assistant-1" in card.no_score
    assert card_of(replace(kettle(), seconds=10.0)).no_score == "it ended before anything was broken"
    assert "ended in trouble" in card_of(replace(kettle(), reason="died")).no_score
    unended = [one for one in kettle().events() if one.kind != "exercise.ended"]
    assert "ended in trouble" in score_history(unended).no_score


def test_what_cannot_be_judged_is_left_out_of_the_total() -> None:
    card = card_of(replace(kettle(), load=False))
    left_out = [line for line in card.lines if not line.judged]
    assert {line.id for line in left_out} == {"mitigation/replica", "objectives"}
    assert card.out_of == pytest.approx(100.0 - sum(line.of for line in left_out), abs=0.1)
    assert card.score == card.out_of
    card = card_of(replace(kettle(), paged=False))
    assert not line_of(card, "acknowledge/replica").judged


def test_a_starved_machine_says_nothing_about_the_trainee() -> None:
    sitting = replace(kettle(), idle=0.0, bad=lambda tier, at: at > 21)
    card = card_of(sitting)
    left_out = {line.id: line.why for line in card.lines if not line.judged}
    assert set(left_out) == {"mitigation/replica", "objectives"}
    assert all("idle 0.0% of the time" in why for why in left_out.values())
    assert card.score == card.out_of == pytest.approx(63.1, abs=0.2)
    idle_hands = card_of(replace(sitting, acts=[]))
    assert line_of(idle_hands, "mitigation/replica").judged
    assert idle_hands.score is not None
    assert idle_hands.score < card.score
    late = sitting.events()
    for event in late:
        if event.kind == "load.samples":
            event.data["columns"]["lag"] = [0.2] * len(event.data["columns"]["lag"])
        elif event.kind == "load.health":
            event.data["machine_idle"] = 0.5
    assert "200 ms late" in line_of(score_history(late), "objectives").why


def test_a_pause_does_not_count() -> None:
    late = replace(kettle(), seconds=400.0)
    late.scenario = late.scenario.model_copy(update={"duration": 400.0})
    at, cause, name = late.hypotheses[0]
    late.hypotheses = [(at + 100, cause, name)]
    late.acts = [(one[0] + 100, *one[1:]) for one in late.acts]
    worse = card_of(late)
    late.pauses = [(32.0, 132.0)]
    better = card_of(late)
    assert worse.score is not None
    assert worse.score < 70
    assert better.score == 100.0


def test_the_facilitator_taking_a_page_is_not_the_trainees_doing() -> None:
    sitting = replace(kettle(), trainee="facilitator")
    assert line_of(card_of(sitting), "acknowledge/replica").points == 0


def test_with_automation_on_its_playbook_mends() -> None:
    sitting = replace(kettle(), automation="on", acts=[])
    events = sitting.events()
    done = replace(
        events[-2], at=events[0].at + 30, kind="playbook.finished", sequence=9999,
        data={"playbook": "restart-replica", "target": "assistant-1", "ok": True, "phase": "act"},
    )  # fmt: skip
    card = score_history([*events, done])
    assert line_of(card, "mitigation/replica").points == line_of(card, "mitigation/replica").of
    assert "automation ran restart-replica" in line_of(card, "mitigation/replica").seen
    assert line_of(card, "playbook/replica").points == line_of(card, "playbook/replica").of


def test_what_the_facilitator_injects_besides_is_not_held_against_the_trainee() -> None:
    sitting = kettle()
    sitting.acts.append((60.0, "drain", "node-3", {"node": "node-3"}))
    harmed = score_history(sitting.events())
    assert line_of(harmed, "harm").points < line_of(harmed, "harm").of
    events = sitting.events()
    told = {"incident": "second", "fault": "second-0", "kind": "gpu-fallen-off-bus", "target": "node-3/1"}
    injected = replace(events[0], at=events[0].at + 50, kind="exercise.incident", sequence=9001, data=told)
    landed = {"fault": "second-0", "effective_at": events[0].at + 51}
    seen = replace(events[0], at=events[0].at + 51, kind="fault.landed", sequence=9002, data=landed)
    card = score_history([*events, injected, seen])
    assert line_of(card, "harm").points == line_of(card, "harm").of


# ---- a strictly worse course never scores higher


Worse = Callable[[Sitting, float], Sitting]


def later_pages(sitting: Sitting, by: float) -> Sitting:
    """Acknowledged later."""
    return replace(sitting, acknowledged={name: at + by for name, at in sitting.acknowledged.items()})


def later_guess(sitting: Sitting, by: float) -> Sitting:
    """Understood later."""
    return replace(sitting, hypotheses=[(at + by, *rest) for at, *rest in sitting.hypotheses])


def later_fix(sitting: Sitting, by: float) -> Sitting:
    """Mended later."""
    return replace(sitting, acts=[(at + by, *rest) for at, *rest in sitting.acts])


def more_harm(sitting: Sitting, by: float) -> Sitting:
    """One more harmful action."""
    act = (50.0 + by, "drain", "node-3", {"node": "node-3"})
    return replace(sitting, acts=[*sitting.acts, act])


def more_hints(sitting: Sitting, by: float) -> Sitting:
    """One more hint."""
    return replace(sitting, hints=[*sitting.hints, (30.0 + by, 5)])


def fewer_updates(sitting: Sitting, by: float) -> Sitting:
    """One update less."""
    return replace(sitting, updates=sitting.updates[: max(0, len(sitting.updates) - 1 - int(by) % 4)])


def wrong_guess(sitting: Sitting, by: float) -> Sitting:
    """One more wrong guess."""
    return replace(sitting, hypotheses=[(21.5 + by / 10, "bad-release", None), *sitting.hypotheses])


WORSE: tuple[Worse, ...] = (later_pages, later_guess, later_fix, more_harm, more_hints, fewer_updates, wrong_guess)


@QUICK
@given(
    name=st.sampled_from(NAMES),
    start=st.lists(st.tuples(st.sampled_from(WORSE), st.floats(0, 60)), max_size=3),
    worse=st.sampled_from(WORSE),
    by=st.floats(0.1, 80),
    trouble=st.floats(0, 40),
)
def test_a_strictly_worse_course_never_scores_higher(
    name: str, start: list[tuple[Worse, float]], worse: Worse, by: float, trouble: float
) -> None:
    sitting = well_done(shipped(name)[0])
    sitting.rate_rps = 3.0
    for change, much in start:
        sitting = change(sitting, much)
    sitting.bad = lambda tier, at: tier == "critical" and 21 < at < 21 + trouble
    before, after = card_of(sitting), card_of(worse(sitting, by))
    assert before.score is not None
    assert after.score is not None
    assert after.score <= before.score
    assert after.out_of == before.out_of


@QUICK
@given(name=st.sampled_from(NAMES), seed=st.integers(0, 1000), late=st.floats(0, 100))
def test_the_score_is_pure_and_does_not_depend_on_the_order_of_events(name: str, seed: int, late: float) -> None:
    sitting = well_done(shipped(name)[0], late=late)
    sitting.rate_rps = 2.0
    events = sitting.events()
    card = score_history(events)
    mixed = list(events)
    random.Random(seed).shuffle(mixed)
    assert score_history(mixed) == card
    assert score_history(events) == card
    scenario, tiers, playbooks = shipped(name)
    assert score(events, scenario, tiers, playbooks) == card


@QUICK
@given(data=st.data(), name=st.sampled_from(NAMES))
def test_every_score_lies_between_nothing_and_what_there_is(data: st.DataObject, name: str) -> None:
    scenario = shipped(name)[0]
    sitting = well_done(scenario)
    sitting.rate_rps = 2.0
    for change in data.draw(st.lists(st.sampled_from(WORSE), max_size=8)):
        sitting = change(sitting, data.draw(st.floats(0, 200)))
    sitting.seconds = data.draw(st.floats(1, scenario.duration))
    sitting.bad = lambda tier, at: hash((tier, int(at))) % 3 == 0
    card = card_of(sitting)
    if card.score is None:
        assert card.no_score
        return
    assert 0 <= card.score <= card.out_of <= 100.1
    assert all(0 <= line.points <= line.of + 1e-9 for line in card.lines if line.id != "hints")
