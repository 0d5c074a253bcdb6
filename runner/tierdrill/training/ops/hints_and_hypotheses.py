"""What a trainee says: hypotheses, status updates, asking for a hint, and that it is over."""

from collections.abc import Callable, Mapping
from typing import Any

from tierdrill.documents.models.hypotheses import CAUSES
from tierdrill.documents.models.scenario import Hint
from tierdrill.history.events import Event, event
from tierdrill.history.kinds.exercise_kinds import FacilitatorHint, TraineeDone, TraineeHypothesis, TraineeUpdate
from tierdrill.training.columns import listing
from tierdrill.training.protocol import BAD_INPUT, REFUSED, Answer, answer

TEXT_MAX = 2000
COMMANDS = ("causes", "hypothesis", "update", "hint", "done", "give-up")


class Statements:
    """Answers COMMANDS, each by its method. `relieved` says why the trainee may not go yet (None: they may); `end`
    ends the exercise.
    """

    def __init__(
        self,
        *,
        hints: tuple[Hint, ...],
        emit: Callable[[Event], object],
        relieved: Callable[[], str | None],
        end: Callable[[str, str], None],
    ) -> None:
        self._hints, self._emit, self._relieved, self._end = hints, emit, relieved, end
        self._given = 0

    def say(self, do: str, said: Mapping[str, Any]) -> Answer:
        said_so: Answer = getattr(self, f"_{do.replace('-', '_')}")(said)
        return said_so

    def _causes(self, said: Mapping[str, Any]) -> Answer:
        every = [{"cause": cause, "meaning": meaning} for cause, meaning in CAUSES.items()]
        return listing(every, {"cause": "cause", "what it means": "meaning"})

    def _give_up(self, said: Mapping[str, Any]) -> Answer:
        self._end("given-up", "the trainee gave up")
        return answer("the exercise is ending; the debrief appears in its terminal")

    def _hypothesis(self, said: Mapping[str, Any]) -> Answer:
        cause, about = str(said.get("cause") or ""), said.get("about")
        if cause not in CAUSES:
            return answer(f"no cause {cause!r}, expected one of: {', '.join(CAUSES)}", code=BAD_INPUT)
        more: dict[str, Any] = {"about": str(about)[:TEXT_MAX]} if about else {}
        self._emit(event(TraineeHypothesis(cause=cause, **more), "trainee"))
        return answer(f"noted: {CAUSES[cause]}", {"cause": cause})

    def _update(self, said: Mapping[str, Any]) -> Answer:
        text = str(said.get("text") or "").strip()
        if not text:
            return answer(
                "missing TEXT, expected what customers feel, what is done, and when the next update comes",
                code=BAD_INPUT,
            )
        self._emit(event(TraineeUpdate(text=text[:TEXT_MAX]), "trainee"))
        return answer("update sent")

    def _hint(self, said: Mapping[str, Any]) -> Answer:
        if self._given >= len(self._hints):
            return answer("no hints left" if self._hints else "this exercise has no hints", code=REFUSED)
        hint = self._hints[self._given]
        self._given += 1
        self._emit(event(FacilitatorHint(hint=hint.text, cost=hint.cost, asked=True), "trainee"))
        left = len(self._hints) - self._given
        return answer(f"{hint.text} (costs {hint.cost} points; {left} left)", {"hint": hint.text, "cost": hint.cost})

    def _done(self, said: Mapping[str, Any]) -> Answer:
        why_not = self._relieved()
        self._emit(event(TraineeDone(accepted=why_not is None, seen=why_not or ""), "trainee"))
        if why_not is not None:
            return answer(f"not yet: {why_not}", code=REFUSED)
        self._end("resolved", "the trainee ended the shift and the incident is over")
        return answer("your shift has ended; the debrief appears in the exercise's terminal")
