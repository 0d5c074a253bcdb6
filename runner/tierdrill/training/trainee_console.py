"""The exercise's own terminal: what a person on call would hear and see by themselves. It knows no secret to tell."""

from collections.abc import Callable

from rich.console import Console
from rich.text import Text

from tierdrill.history.events import Event
from tierdrill.history.kinds import exercise_kinds as exercise
from tierdrill.history.kinds import response_kinds as response
from tierdrill.history.payload import Payload
from tierdrill.training.columns import clock as shown_time
from tierdrill.training.exercise_setting import ExerciseSetting

STYLES = {"page": "bold red", "good": "green", "note": "dim", "message": "cyan", "plain": ""}


class Terminal:
    """Lines with the exercise's time. `elapsed` gives its seconds."""

    def __init__(self, console: Console, *, named: bool = True) -> None:
        self._console, self._named = console, named
        self.elapsed: Callable[[], float] = lambda: 0.0

    def line(self, text: str, style: str = "plain") -> None:
        self._say(Text(f"{shown_time(self.elapsed()):>5}  ", style="dim") + Text(text, style=STYLES[style]))

    def _say(self, text: Text) -> None:
        self._console.print(text, soft_wrap=not self._console.is_terminal)

    def welcome(self, exercise: str, setting: ExerciseSetting) -> None:
        """What the trainee has to know before the first page."""
        scenario = setting.scenario
        title = f"{scenario.metadata.title} ({scenario.level})" if self._named else f"an exercise ({scenario.level})"
        self._say(Text(f"{exercise}: {title}", style="bold"))
        self._say(Text(scenario.brief))
        automation = "no playbook runs by itself" if setting.automation == "off" else "playbooks run by themselves"
        for text in (
            f"You are primary on call for {shown_time(scenario.duration)}; {automation}.",
            "Work in a second terminal: `tierdrill ops pages`, `tierdrill ops tiers`; the rest is in `ops --help`.",
            f"During an incident, give an update every {scenario.updates_every:g} s: `tierdrill ops update TEXT`.",
            "Say what you think it is: `tierdrill ops hypothesis CAUSE` (`tierdrill ops causes` lists them).",
            "When you think it is over: `tierdrill ops done`. Ctrl-C here ends it cleanly, twice at once.",
        ):
            self._say(Text(text, style="dim"))

    def feed(self, item: Event) -> None:
        """Show an event, if a person on call would notice it."""
        if (shown := noticed(item.payload)) is not None:
            if isinstance(item.payload, response.PageSent) and self._console.is_terminal:
                self._console.bell()
            self.line(*shown)


def noticed(said: Payload) -> tuple[str, str] | None:
    """What a person on call notices of an event by themselves, and the style of its line; None for any other."""
    match said:
        case response.PageSent(action="trigger") as page:
            return f"PAGE for {page.contact} ({page.tier}, level {page.level}): {page.summary}", "page"
        case response.PageEscalated(contact=contact, by=by):
            return f"escalated to {contact or 'the next level'}: {by}", "page"
        case response.PageAcknowledged(dedup_key=key):
            return f"acknowledged: {key}", "good"
        case response.PageResolved(dedup_key=key):
            return f"resolved: {key}", "good"
        case exercise.FacilitatorMessage(sender=sender, text=text):
            return f"{sender}: {text}", "message"
        case exercise.FacilitatorHint(cost=cost, hint=hint):
            return f"hint ({cost} points): {hint}", "message"
        case exercise.FacilitatorPause():
            return "paused by the facilitator", "note"
        case exercise.FacilitatorResume():
            return "resumed", "note"
        case exercise.ExerciseNote(text=text):
            return text, "note"
        case exercise.TraineeAction(ok=ok, seen=seen) as act:
            what = f"{act.action} {act.target}".strip()
            return f"{what}: {seen or ('done' if ok else 'failed')}", "good" if ok else "message"
        case exercise.TraineeUpdate(text=text):
            return f"update sent: {text}", "good"
    return None
