"""The chain of a history: each event's digest covers its line and the digest before, so the last one covers them all.

An event that is changed, left out or put in breaks the chain at its place. Whoever makes the whole chain anew has
another last digest than the one that the ledger keeps of the run, and that its reports name. The chain is no
signature: who can write the ledger can write any history.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

_DIGEST = re.compile(rb',"digest":"([0-9a-f]{64})"\}\Z')
_LENGTH = len(b',"digest":""}') + 64


def digest_of(before: str, line: bytes) -> str:
    """The digest of an event: of its line without a digest, after the digest `before` it ("" for the first)."""
    return hashlib.sha256(before.encode("ascii") + b"\n" + line).hexdigest()


def with_digest(line: str, digest: str) -> str:
    """An event's line with its digest as the last member."""
    return f'{line[:-1]},"digest":"{digest}"}}'


def without_digest(line: bytes) -> tuple[bytes, str]:
    """An event's line as it is digested, and the digest it bears; "" where it bears none."""
    found = _DIGEST.search(line, max(0, len(line) - _LENGTH))
    return (line[: found.start()] + b"}", found[1].decode("ascii")) if found else (line, "")


@dataclass(frozen=True)
class Chain:
    """What became of a chain: how many events, the digest of the last, and the first that is not what was recorded.

    `whole`: each event bears a digest. Histories of older versions have none; theirs is computed all the same.
    """

    events: int = 0
    digest: str = ""
    whole: bool = True
    broken: int | None = None

    def then(self, line: bytes, borne: str, digest: str | None = None) -> Chain:
        """The chain with one more event: its line, and the digest that it bears.

        `digest` is that of its canonical line, where that is known to differ from the line as it stands.
        """
        digest = digest or digest_of(self.digest, line)
        missing = not borne
        # An event without a digest in a chain that has them was put in, or its digest taken off.
        broken = (bool(borne) and borne != digest) or (missing and self.whole and self.events > 0)
        return Chain(
            events=self.events + 1,
            digest=digest,
            whole=self.whole and not missing,
            broken=self.events + 1 if self.broken is None and broken else self.broken,
        )


@dataclass(frozen=True)
class Standing:
    """Whether a history is the one that was recorded: "verified", "unverifiable" or "altered", and why."""

    state: str
    why: str

    @property
    def altered(self) -> bool:
        return self.state == "altered"

    def __str__(self) -> str:
        """`verified: why`."""
        return f"{self.state}: {self.why}"


def standing_of(chain: Chain, recorded: str | None, where: str) -> Standing:
    """A chain held against the last digest that was recorded of that run, if one is known. `where` says by whom."""
    if chain.broken is not None:
        return Standing("altered", f"event {chain.broken} is not the one that was recorded")
    if recorded is None:
        if not chain.whole:
            return Standing("unverifiable", "its events have no digests: an older version recorded it")
        return Standing("unverifiable", f"its events agree with each other, and {where} has no digest of it")
    if recorded != chain.digest:
        other = f"its last digest is {chain.digest[:16]}..., and {where} has {recorded[:16]}..."
        return Standing("altered", f"{other}: events were changed, left out or put in")
    return Standing("verified", f"it is the one of which {where} has the digest {recorded[:16]}...")
