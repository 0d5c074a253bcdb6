"""The proof of a drill: what each of its runs had to come to, held against what it came to. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import zip_longest

from tierdrill.documents.catalogue import DrillSetting
from tierdrill.documents.variables import ANY_PROMISE, ablation_name, find_sabotage, parts_of, resolve_drill
from tierdrill.judge.judge import doubts_of_the_run
from tierdrill.judge.verdict import GUARDRAIL, Status, Verdict


@dataclass(frozen=True)
class ProofRow:
    """One run of the proof.

    `named_checks` are patterns of those that a sabotage must fail for, `failed_checks` the ids of those that did fail.
    `guardrail` is what the guardrail saw that aborted the run, empty where none did; `doubts` are the ids of the checks
    that leave it open whether this was the run that was planned. `under` is what the verdict was made under: then the
    row proves nothing, whatever it came to.
    """

    variant: str
    expected: str
    status: str
    named_checks: tuple[str, ...]
    failed_checks: tuple[str, ...]
    ok: bool
    run: str
    seconds: float
    guardrail: str = ""
    doubts: tuple[str, ...] = ()
    under: tuple[str, ...] = ()

    @property
    def ends_the_proof(self) -> bool:
        """Whether nothing may be run after it: a person stopped it, or something is still injected."""
        return self.status == Status.UNCLEAN or (self.status == Status.ABORTED and not self.guardrail)

    @property
    def says(self) -> str:
        """Its status, but that of a guardrail's abort: the drill and its blip failed; a sabotage showed nothing. Nor
        does what came out as it must under an exception.
        """
        if self.under and self.status == self.expected:
            return Status.INCONCLUSIVE.value
        if not self.guardrail:
            return self.status
        return (Status.INCONCLUSIVE if self.named_checks else Status.FAILED).value


def names(pattern: str, check_id: str) -> bool:
    """Does a pattern name this check? `*` stands for anything within one part of the path."""
    if pattern == ANY_PROMISE:
        return check_id.startswith(("slo/", "invariant/"))
    return all(
        part is not None and wanted is not None and fnmatchcase(part, wanted)
        for part, wanted in zip_longest(check_id.split("/"), pattern.split("/"))
    )


def missed(row: ProofRow) -> tuple[str, ...]:
    return tuple(p for p in row.named_checks if not any(names(p, check) for check in row.failed_checks))


def variants_of(setting: DrillSetting) -> list[str]:
    """Every run that a proof needs: the drill, its blip twin, each sabotage."""
    drill = setting.drill
    blip = ["blip"] if drill.blip is not None else []
    return ["drill", *blip, *(f"sabotage:{sabotage.name}" for sabotage in drill.sabotages)]


def named_by(setting: DrillSetting, variant: str) -> tuple[str, ...]:
    """The patterns of the checks that a variant must fail for; none for one that must pass."""
    if not variant.startswith("sabotage:"):
        return ()
    sabotage = find_sabotage(resolve_drill(setting), variant.partition(":")[2])
    return sabotage.fails if sabotage is not None else ()


def row_of(setting: DrillSetting, variant: str, verdict: Verdict, seconds: float) -> ProofRow:
    """Hold a verdict against what the variant should come to.

    A sabotage that a guardrail aborted is judged by what had failed by then, in a run that was the planned one so far.
    """
    failed = tuple(dict.fromkeys(check.id for check in verdict.checks if check.status is Status.FAILED))
    named = named_by(setting, variant)
    expected = "failed" if named else "passed"
    guardrail = verdict.stopped.reason or GUARDRAIL if verdict.stopped and verdict.aborted_by_guardrail else ""
    doubts = tuple(one for one in doubts_of_the_run(verdict.checks) if not (guardrail and _of_the_abort(one)))
    row = ProofRow(
        variant, expected, verdict.status.value, named, failed, False, verdict.run, seconds, guardrail, doubts,
        verdict.under,
    )  # fmt: skip
    came_to = Status.FAILED.value if guardrail and named and not doubts else row.status
    return replace(row, ok=came_to == expected and not missed(row) and not row.under)


def _of_the_abort(check_id: str) -> bool:
    """Whether the check is in doubt of every run that is aborted: it did not get to its end, nor the fault to its."""
    return check_id == "run/completed" or (check_id.startswith("fault/") and check_id.endswith("/gone"))


@dataclass(frozen=True)
class Ablation:
    """What came of taking one part away: the runs that were made without it, in order.

    `promises` are the ids of the promises that broke in the last of them, none where no drill noticed.
    """

    part: str
    rows: tuple[ProofRow, ...]
    drills: tuple[str, ...]

    @property
    def promises(self) -> tuple[str, ...]:
        """The promises that broke without it."""
        return broken_promises(self.rows[-1]) if self.rows and self.rows[-1].ok else ()

    @property
    def noticed_by(self) -> str | None:
        """The drill that noticed; None where it is unproven."""
        return self.drills[-1] if self.promises else None


def broken_promises(row: ProofRow) -> tuple[str, ...]:
    """The objectives and invariants that failed in a run."""
    return tuple(check for check in row.failed_checks if names(ANY_PROMISE, check))


def ablations(
    settings: Sequence[DrillSetting], *, everything: bool, only: Collection[str] = ()
) -> dict[str, list[DrillSetting]]:
    """What is to be taken away, and by which drills that may be noticed, the likeliest first.

    Those are the drills that say they prove it, then those that do not say what they prove: about a playbook the ones
    in which it must run, about a protection each. What none of them is asked about is there only with `everything`, or
    where it is one of `only`: then nothing else is.
    """
    found: dict[str, list[DrillSetting]] = {}
    for part in parts_of(*settings):
        say_so = [setting for setting in settings if part in (setting.drill.proves or ())]
        others = [one for one in settings if one.drill.proves is None and part in _noticeable(one)]
        if (part in only) if only else (everything or say_so or others):
            found[part] = [*say_so, *others]
    return found


def _noticeable(setting: DrillSetting) -> set[str]:
    """What a drill can be expected to miss: the protections of its platform, and the playbooks that must run."""
    return {*setting.environment.lab.protections, *(one.playbook for one in setting.drill.expect.playbooks.must_fire)}


def ablation_variant(part: str) -> str:
    """The variant of a drill that goes without a part."""
    return f"sabotage:{ablation_name(part)}"
