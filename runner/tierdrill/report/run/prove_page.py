"""The page of a whole `prove`: drills by what their runs, blip twins and sabotages came to, and how long each took."""

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache

from jinja2 import Environment

from tierdrill import __version__
from tierdrill.judge.proof import ProofRow
from tierdrill.report.format import UNICODE, variant_words
from tierdrill.report.html_template import page_environment
from tierdrill.report.run.prove_matrix import reason
from tierdrill.text import plural, utc


@dataclass(frozen=True)
class DrillProof:
    """How the proof of one drill stands: the variants `wanted`, the `rows` made of them so far, in the same order.

    `mechanisms` say how its faults are done there. A drill is `skipped` for a reason where it cannot be run there.
    """

    drill: str
    title: str
    environment: str
    wanted: Sequence[str] = ()
    mechanisms: Sequence[str] = ()
    skipped: str = ""
    rows: list[ProofRow] = field(default_factory=list)

    @property
    def left(self) -> Sequence[str]:
        """The variants that were not run (any more)."""
        made = {row.variant for row in self.rows}
        return [variant for variant in self.wanted if variant not in made]

    def add(self, row: ProofRow) -> None:
        """One more row, at its place among the others."""
        self.rows.append(row)
        self.rows.sort(key=lambda one: self.wanted.index(one.variant))

    @property
    def seconds(self) -> float:
        """How long its runs took, in seconds."""
        return sum(row.seconds for row in self.rows)

    @property
    def status(self) -> str:
        """One of proven, not proven, skipped, open (some run is still to be made, none was wrong)."""
        if self.skipped:
            return "skipped"
        if any(not row.ok for row in self.rows):
            return "not proven"
        return "open" if self.left else "proven"


def prove_page(proofs: Sequence[DrillProof], began: float, link: Callable[[str], str | None]) -> str:
    """The page, also of a proof under way or ended early. `began` in seconds since the epoch; `link` says where a run's
    report is, if it is there.
    """
    stands = [proof.status for proof in proofs]
    return (
        _environment()
        .get_template("prove.html")
        .render(
            proofs=proofs,
            counts={status: stands.count(status) for status in ("proven", "not proven", "open", "skipped")},
            runs=sum(len(proof.rows) for proof in proofs),
            seconds=sum(proof.seconds for proof in proofs),
            began=utc(began),
            machine=f"tierdrill {__version__}, Python {platform.python_version()}, {platform.system()}",
            links={row.run: link(row.run) for proof in proofs for row in proof.rows},
        )
    )


@cache
def _environment() -> Environment:
    return page_environment(
        {
            "plural": plural,
            "reason": reason,
            "variant": lambda variant: variant.partition(":")[2] or variant_words(variant),
            "sign": lambda ok: UNICODE.ok if ok else UNICODE.bad,
        }
    )
