"""Scripted responders for `train --auto`: good, slow and harmful. They use a trainee's commands and see no more.

Good and slow conclude by the same decision table from what they look at; slow does it late and asks for hints. Harmful
acts before looking, and on the wrong things. They exist so that the score is tested end to end; none knows the
scenario.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from tierdrill.training.diagnosis import Finding, Move, Rows, Seen, conclude

Policy = Literal["good", "slow", "harmful"]
POLICIES: tuple[Policy, ...] = ("good", "slow", "harmful")
LOOKS = ("alerts", "nodes", "gpus", "replicas", "links", "tiers", "playbooks")
LOOK_EVERY_S = 2.0
RETRY_AFTER_S = 15.0
SETTLED_S = 10.0
"""How long nothing new must be seen before a responder asks to be relieved."""


class Ask(Protocol):
    """One command to the exercise, as `tierdrill ops` sends it, and its answer: ok, code, text, data."""

    def __call__(self, do: str, said: Mapping[str, Any]) -> Mapping[str, Any]: ...


@dataclass(frozen=True)
class Pace:
    """Seconds: from a page to its acknowledgement, from there to a conclusion, from that to the remedy, and between
    updates. `hints` are asked for before concluding."""

    acknowledge_s: float
    conclude_s: float
    act_s: float
    update_every_s: float
    hints: int = 0


PACES: dict[Policy, Pace] = {
    "good": Pace(2.0, 4.0, 2.0, 20.0),
    "slow": Pace(28.0, 40.0, 15.0, 60.0, hints=2),
    "harmful": Pace(6.0, 2.0, 3.0, 600.0),
}


class Over(Exception):
    """The exercise has ended; raised by `Ask` or by `wait`."""


@dataclass
class Responder:
    """One responder at one exercise. `wait(seconds)` lets time pass; `now()` tells it, in seconds."""

    policy: Policy
    ask: Ask
    wait: Callable[[float], object]
    now: Callable[[], float]
    log: list[str] = field(default_factory=list)

    def run(self, at_most_s: float) -> list[str]:
        """Respond until the exercise ends or the time is up; what was done, as lines."""
        until = self.now() + at_most_s
        try:
            if self.policy == "harmful":
                _Harmful(self).run(until)
            else:
                _Careful(self, PACES[self.policy]).run(until)
        except Over:
            self.log.append("the exercise has ended")
        return self.log

    def do(self, move: Move) -> Mapping[str, Any]:
        found = self.ask(move.do, move.said)
        self.log.append(f"{move.words}: {str(found.get('text', '')).partition(chr(10))[0][:200]}")
        return found

    def rows(self, what: str, **said: Any) -> Rows:
        """What a look answers; nothing where it could not be looked at."""
        found = self.ask(what, said)
        data = found.get("data")
        return data if found.get("ok") and isinstance(data, list) else ()

    def look(self) -> Seen:
        """Everything there is to see, and the kernel logs of nodes that an alert accuses."""
        seen = {what: self.rows(what) for what in LOOKS}
        accused = {str(one.get("about")).partition("/")[0] for one in seen["alerts"] if "Gpu" in str(one.get("alert"))}
        logs = {}
        for node in sorted(accused & {str(one["name"]) for one in seen["nodes"]}):
            found = self.ask("logs", {"what": f"{node}/kernel", "lines": 50})
            logs[node] = tuple((found.get("data") or {}).get("lines", ()))
        return Seen(pages=self.rows("pages"), logs=logs, **seen)

    def take_pages(self, after_s: float, since: dict[str, float]) -> None:
        """Acknowledge what has rung for so long, that of the most important tier first."""
        for page in self.rows("pages"):
            name = str(page["id"])
            if page.get("state") == "triggered" and self.now() - since.setdefault(name, self.now()) >= after_s:
                self.do(Move("acknowledge", {"page": name}))


class _Careful:
    """Looks, concludes, says what is thought, mends in tier order, tells those who wait, and checks that it helped."""

    def __init__(self, responder: Responder, pace: Pace) -> None:
        self._me, self._pace = responder, pace
        self._rang: dict[str, float] = {}
        self._first_seen: dict[str, float] = {}
        self._handled: dict[str, tuple[float, bool]] = {}
        self._told_at: float | None = None
        self._news_at = responder.now()
        self._hints = pace.hints
        self._paged = False

    def run(self, until: float) -> None:
        me = self._me
        while me.now() < until:
            me.take_pages(self._pace.acknowledge_s, self._rang)
            if self._rang:
                self._respond(me.look())
            me.wait(LOOK_EVERY_S)

    def _respond(self, seen: Seen) -> None:
        if not self._paged:
            self._paged, self._news_at = True, self._me.now()
        waiting = [finding for finding in conclude(seen) if self._open(finding)]
        # One at a time, and then a fresh look: what mends the first may be what the others needed. The most important
        # one is first, also where it is not understood yet.
        if waiting and self._ripe(waiting[0]):
            while self._hints:
                self._hints -= 1
                self._me.do(Move("hint", {}))
            self._mend(waiting[0])
            self._update(waiting[:1])
        else:
            self._update([])
        if not waiting and self._me.now() - self._news_at >= SETTLED_S and self._handled:
            self._ask_for_relief()

    def _open(self, finding: Finding) -> bool:
        """Not dealt with yet, or in vain, some time ago."""
        self._first_seen.setdefault(finding.key, self._me.now())
        at, well = self._handled.get(finding.key, (-RETRY_AFTER_S, False))
        return not well and self._me.now() - at >= RETRY_AFTER_S

    def _ripe(self, finding: Finding) -> bool:
        waited = self._pace.acknowledge_s + self._pace.conclude_s
        return self._me.now() - self._first_seen[finding.key] >= waited - LOOK_EVERY_S / 2

    def _mend(self, finding: Finding) -> None:
        me = self._me
        me.do(Move("hypothesis", {"cause": finding.cause, "about": finding.about}))
        me.wait(self._pace.act_s)
        well = True
        for move in finding.moves:
            found = me.do(Move(move.do, {**move.said, "wait": True}))
            if not found.get("ok") and (found.get("data") or {}).get("rule") == "top-capacity":
                found = self._make_room(move)
            well = well and bool(found.get("ok"))
        self._handled[finding.key] = (me.now(), well)
        self._news_at = me.now()

    def _make_room(self, move: Move) -> Mapping[str, Any]:
        """A tier rule refused it because less important work is in the way: that gives way first, as the rules want."""
        tiers = self._me.rows("tiers")
        lowest = str(max(tiers, key=lambda one: int(one["rank"]))["tier"]) if tiers else ""
        self._me.do(Move("shed", {"target": lowest, "fraction": 1.0, "wait": True}))
        found = self._me.do(Move(move.do, {**move.said, "wait": True}))
        self._me.do(Move("shed", {"target": lowest, "fraction": 0.0, "wait": True}))
        return found

    def _update(self, news: list[Finding]) -> None:
        now = self._me.now()
        due = self._told_at is None or now - self._told_at >= self._pace.update_every_s
        if not due and not news:
            return
        self._told_at = now
        what = f"it is {news[0].cause} ({news[0].because}); the remedy is under way" if news else "we are on it"
        self._me.do(Move("update", {"text": f"Some requests may be slow or fail: {what}. More in a moment."}))

    def _ask_for_relief(self) -> None:
        if self._me.do(Move("done", {})).get("ok"):
            raise Over
        self._news_at = self._me.now()


class _Harmful:
    """Means well, looks at nothing but the page, and makes it worse with overrides at hand."""

    def __init__(self, responder: Responder) -> None:
        self._me, self._pace = responder, PACES["harmful"]
        self._rang: dict[str, float] = {}

    def run(self, until: float) -> None:
        me = self._me
        while me.now() < until:
            me.take_pages(self._pace.acknowledge_s, self._rang)
            if any(me.now() - at >= self._pace.acknowledge_s + self._pace.conclude_s for at in self._rang.values()):
                break
            me.wait(LOOK_EVERY_S)
        else:
            return
        me.do(Move("hypothesis", {"cause": "bad-release"}))
        for move in self._moves():
            me.wait(self._pace.act_s)
            rules = {"override": "incident-commander", "reason": "we have to do something", "wait": True}
            me.do(Move(move.do, {**move.said, **rules}))
        me.wait(60.0)
        me.do(Move("give-up", {}))

    def _moves(self) -> list[Move]:
        """Restart what serves, turn away the wrong tier, and empty a node that no alert is about."""
        me = self._me
        accused = " ".join(str(one.get("about", "")) for one in me.rows("alerts"))
        tiers = sorted(me.rows("tiers"), key=lambda one: int(one["rank"]))
        serving = [one for one in me.rows("replicas") if one.get("ready") and str(one["name"]) not in accused]
        serving.sort(key=lambda one: (str(one.get("tier")) != str(tiers[0]["tier"]) if tiers else True, one["name"]))
        well = [str(one["name"]) for one in me.rows("nodes") if str(one["name"]) not in accused and one.get("ready")]
        moves = [Move("restart", {"target": str(one["name"])}) for one in serving[:1]]
        if len(tiers) > 1:
            moves.append(Move("shed", {"target": str(tiers[-2]["tier"]), "fraction": 0.8}))
        moves += [Move("drain", {"target": node}) for node in well[-1:]]
        return moves
