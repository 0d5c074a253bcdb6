"""Requests that end whatever replica serves them (queries of death) are held off before they end them all. Pure.

A replica that ends with a request under way may have ended for any reason. Where a second one does with the same
prompt, and nobody has answered that prompt in between, it is the prompt. Gateways tell each other through the
controller, or each would have to lose two replicas.
"""

from collections.abc import Callable, Mapping
from hashlib import blake2b

ENDED_MIN = 2
HELD_S = 30.0
PROMPTS_MAX = 4
"""Where more prompts than these seem to end replicas it is not the prompts, and none is held off."""
ANSWERED_MAX = 4096

Suspects = Mapping[str, Mapping[str, float]]
"""By prompt: the replicas that ended under it, each with when."""


def fingerprint(prompt: str) -> str:
    return blake2b(prompt.encode(), digest_size=8).hexdigest()


class Quarantine:
    """Which prompts are held off. The clock is of Unix time, which gateways and controller share."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._ended: dict[str, dict[str, float]] = {}
        self._answered: dict[str, float] = {}
        self.news: dict[str, dict[str, float]] = {}
        """What nobody else knows yet; who tells it takes it away."""

    def ended(self, prompt: str, replica: str) -> None:
        """A replica has ended while it had that prompt."""
        at = {replica: self._clock()}
        self.news.setdefault(prompt, {}).update(at)
        self.hear({prompt: at})

    def hear(self, suspects: Suspects) -> None:
        """Take what others saw. What has been answered since says nothing."""
        self._forget()
        for prompt, replicas in suspects.items():
            since = self._answered.get(prompt, 0.0)
            if fresh := {name: at for name, at in replicas.items() if at > since}:
                self._ended.setdefault(prompt, {}).update(fresh)

    def answered(self, prompt: str) -> None:
        self._answered.pop(prompt, None)  # to the end of those that are remembered
        self._answered[prompt] = self._clock()
        if len(self._answered) > ANSWERED_MAX:
            del self._answered[next(iter(self._answered))]
        self._ended.pop(prompt, None)

    def held(self) -> set[str]:
        """The prompts that are held off now."""
        self._forget()
        found = {prompt for prompt, replicas in self._ended.items() if len(replicas) >= ENDED_MIN}
        return found if len(found) <= PROMPTS_MAX else set()

    def holds(self, prompt: str) -> bool:
        return bool(self._ended) and prompt in self.held()

    def suspects(self) -> Suspects:
        self._forget()
        return self._ended

    def _forget(self) -> None:
        now = self._clock()
        self._ended = {
            prompt: replicas for prompt, replicas in self._ended.items() if now - max(replicas.values()) < HELD_S
        }
