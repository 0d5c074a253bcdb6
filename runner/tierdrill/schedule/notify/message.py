"""A notice on its way to one channel, and who has it in hand."""

from __future__ import annotations

from dataclasses import dataclass

from tierdrill.process.identity import ProcessId, me
from tierdrill.schedule.notify.notification import Notice

TELL, RESOLVE = "tell", "resolve"
UNSEEN_HOLDS_FOR_S = 600.0
"""How long a courier in another PID namespace, of which nobody can say whether it lives, has a message in hand."""


@dataclass(frozen=True)
class Message:
    """A notice on its way to one channel. `id` stays the same over all attempts; `action` is "tell" or "resolve".

    `subject` is the key under which it was told; `repeated` is how often the same came without being told.
    """

    id: str
    notice: Notice
    subject: str
    action: str = TELL
    repeated: int = 0


def own_holder() -> str:
    """This process, as the outbox writes down who has a message in hand."""
    this = me()
    return f"{this.pid} {this.ticks} {this.boot} {this.space}"


def still_holds(holder: str, held_for_s: float) -> bool:
    """Does whoever took a message so long ago still have it in hand, or has it died?"""
    words = holder.split(" ")
    try:
        process = ProcessId(int(words[0]), int(words[1]), words[2], words[3])
    except (ValueError, IndexError):
        return False
    return process.lives() if process.visible() else 0 <= held_for_s < UNSEEN_HOLDS_FOR_S
