"""Who said it: a note that begins with a participant's name or role and a colon is that person's."""

from __future__ import annotations

from collections.abc import Sequence

from tierdrill.documents.models.gameday import Participant


def speaker(text: str, participants: Sequence[Participant], default: str) -> tuple[str, str]:
    """The author and the words of "scribe: the pager rang", or of a note that names nobody."""
    head, colon, rest = text.partition(":")
    word = head.strip().lower()
    if colon and word and rest.strip():
        for one in participants:
            if word in (one.name.lower(), one.role, one.name.split()[0].lower()):
                return shown(one), rest.strip()
    return default, text.strip()


def shown(participant: Participant) -> str:
    """How a participant stands beside what they said."""
    return f"{participant.name} ({participant.role})"


def author_of(name: str, participants: Sequence[Participant]) -> str:
    """The author's name as it is shown: with the role of the participant that goes by that name or role."""
    word = name.strip().lower()
    for one in participants:
        if word in (one.name.lower(), one.role):
            return shown(one)
    return name.strip()
