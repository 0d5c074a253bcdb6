"""The exercise's own terminal: what a person on call would hear and see by themselves. It knows no secret to tell."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console
from rich.text import Text

from tierdrill.history.events import Event
from tierdrill.training.columns import clock as shown_time
from tierdrill.training.exercise_setting import ExerciseSetting

STYLES = {"page": "bold red", "good": "green", "note": "dim", "message": "cyan", "plain": ""}


class Terminal:
    """Lines with the exercise's time. `elapsed` gives its seconds."""

    def __init__(self, console: Console, *, named: bool = True) -> None:
        self._console, self._named = console, named
        self.elapsed: Callable[[], float] = lambda: 0.0

    def line(self, text: str, style: str = "plain") -> None:
        """One line."""
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
        show = _SHOWN.get(item.kind)
        if show is not None and (shown := show(item)) is not None:
            if item.kind == "page.sent" and self._console.is_terminal:
                self._console.bell()
            self.line(*shown)


def _sent(item: Event) -> tuple[str, str] | None:
    data = item.data
    if data["action"] != "trigger":
        return None
    return f"PAGE for {data['contact']} ({data['tier']}, level {data['level']}): {data['summary']}", "page"


def _escalated(item: Event) -> tuple[str, str]:
    return f"escalated to {item.data.get('contact', 'the next level')}: {item.data['by']}", "page"


def _action(item: Event) -> tuple[str, str]:
    data = item.data
    what = f"{data['action']} {data['target']}".strip()
    return f"{what}: {data['seen'] or ('done' if data['ok'] else 'failed')}", "good" if data["ok"] else "message"


_SHOWN: dict[str, Callable[[Event], tuple[str, str] | None]] = {
    "page.sent": _sent,
    "page.escalated": _escalated,
    "page.acknowledged": lambda item: (f"acknowledged: {item.data['dedup_key']}", "good"),
    "page.resolved": lambda item: (f"resolved: {item.data['dedup_key']}", "good"),
    "facilitator.message": lambda item: (f"{item.data['sender']}: {item.data['text']}", "message"),
    "facilitator.hint": lambda item: (f"hint ({item.data['cost']} points): {item.data['hint']}", "message"),
    "facilitator.pause": lambda item: ("paused by the facilitator", "note"),
    "facilitator.resume": lambda item: ("it goes on", "note"),
    "exercise.note": lambda item: (str(item.data["text"]), "note"),
    "trainee.action": _action,
    "trainee.update": lambda item: (f"update sent: {item.data['text']}", "good"),
}
