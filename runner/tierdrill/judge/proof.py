"""The proof of a drill: what each of its runs had to come to, held against what it came to. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import zip_longest

from tierdrill.judge.verdict import Status, Verdict
from tierdrill.spec.catalogue import DrillSetting
from tierdrill.spec.resolve import resolve_drill


@dataclass(frozen=True)
class ProofRow:
    """One run of the proof.

    `named_checks` are patterns of those that a sabotage must fail for, `failed_checks` the ids of those that did fail.
    """

    variant: str
    expected: str
    status: str
    named_checks: tuple[str, ...]
    failed_checks: tuple[str, ...]
    ok: bool
    run: str
    seconds: float


def names(pattern: str, check_id: str) -> bool:
    """Does a pattern name this check? `*` stands for anything within one part of the path."""
    return all(
        part is not None and wanted is not None and fnmatchcase(part, wanted)
        for part, wanted in zip_longest(check_id.split("/"), pattern.split("/"))
    )


def missed(row: ProofRow) -> tuple[str, ...]:
    """The named checks that did not fail."""
    return tuple(p for p in row.named_checks if not any(names(p, check) for check in row.failed_checks))


def variants_of(setting: DrillSetting) -> list[str]:
    """Every run that a proof needs: the drill, its blip twin, each sabotage."""
    drill = setting.drill
    blip = ["blip"] if drill.blip is not None else []
    return ["drill", *blip, *(f"sabotage:{sabotage.name}" for sabotage in drill.sabotages)]


def row_of(setting: DrillSetting, variant: str, verdict: Verdict, seconds: float) -> ProofRow:
    """Hold a verdict against what the variant should come to."""
    failed = tuple(check.id for check in verdict.checks if check.status is Status.FAILED)
    named: tuple[str, ...] = ()
    if variant.startswith("sabotage:"):
        sabotage = next(one for one in resolve_drill(setting).drill.sabotages if f"sabotage:{one.name}" == variant)
        named = sabotage.fails
    expected = "failed" if named else "passed"
    row = ProofRow(variant, expected, verdict.status.value, named, failed, False, verdict.run, seconds)
    return replace(row, ok=verdict.status.value == expected and not missed(row))
