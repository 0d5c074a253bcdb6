"""Finding a run of the past: the one named, the last one, or one in an exported file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from tierdrill.cli.errors import Refusal

if TYPE_CHECKING:
    from tierdrill.documents.catalogue import DrillSetting
    from tierdrill.history.events import Event
    from tierdrill.history.hash_chain import Standing
    from tierdrill.history.history_store import RunRecord
    from tierdrill.judge.proof import ProofRow


def find_record(home: Path, run: str | None) -> RunRecord:
    """The run of that name or unique beginning, the last run if none is named; Refusal where there is none."""
    from tierdrill.history.history_store import HistoryStore

    with HistoryStore.kept(home) as store:
        record = store.find(run) if store else None
        if record is not None:
            return record
        known = store.runs(limit=5) if store else []
    if run is None or not known:
        raise Refusal(f"no runs in {home}; start one with `tierdrill run DRILL`")
    names = ", ".join(each.run for each in known)
    raise Refusal(f"no run, or several, begin with {run!r} in {home}; the latest are: {names}")


def find_drill_run(home: Path, run: str | None) -> RunRecord:
    """Like `find_record`, among the runs of drills alone: an exercise has a score and a debrief, and no verdict."""
    from tierdrill.history.history_store import HistoryStore
    from tierdrill.training.results.progress import EXERCISE

    record = find_record(home, run)
    if record.variant != EXERCISE:
        return record
    if run is not None:
        raise Refusal(f"{record.run} is an exercise; `tierdrill train debrief {record.run}` shows its score again")
    with closing(HistoryStore(home)) as store:
        for each in store.runs(limit=100_000):
            if each.variant != EXERCISE:
                return each
    raise Refusal(f"only exercises in {home}; start a run with `tierdrill run DRILL`")


def stored_events(home: Path, run: str) -> list[Event]:
    """Every event of a run in this home; Refusal if retention has removed them."""
    from tierdrill.history.history_store import HistoryStore

    with closing(HistoryStore(home)) as store:
        events = store.events(run)
        record = store.find(run) if not events else None
    if record is not None and record.status is not None:
        raise Refusal(
            f"the events of run {run} are gone (deleted by `tierdrill prune`); what remains: "
            "`tierdrill history --runs`, `tierdrill trend` and `tierdrill export`"
        )
    return events


def is_going_on(home: Path, record: RunRecord) -> bool:
    if record.status is not None:
        return False
    from tierdrill.recovery.status import live_runs

    return record.run in live_runs(home)


def events_of(
    home: Path, run: str | None, file: Path | None, digest: str | None = None
) -> tuple[list[Event], Standing]:
    """The events of an exported file, or of a run in this home, and whether they are those that were recorded.

    Refusal for a run that is still going on, and for a history that was altered: nothing may be concluded from it.
    `digest` is that of a report, to hold it against instead of the ledger's.
    """
    from tierdrill.history.hash_chain import standing_of
    from tierdrill.history.history_store import HistoryStore, read_history
    from tierdrill.judge.judge import start_of

    if file is not None:
        events, chain = read_history(file)
        name, named = start_of(events).run, str(file)
    else:
        record = find_drill_run(home, run)
        if is_going_on(home, record):
            raise Refusal(f"run {record.run} is still in progress (`tierdrill stop` ends it)")
        name, named = record.run, f"run {record.run}"
        events = stored_events(home, name)
        with closing(HistoryStore(home)) as store:
            chain = store.chain(name)
    known = (digest, "--digest") if digest else (_recorded_digest(home, name), f"the ledger of {home}")
    standing = standing_of(chain, *known)
    if standing.altered:
        raise Refusal(f"{named}: the history was altered: {standing.why}")
    return events, standing


def _recorded_digest(home: Path, run: str) -> str | None:
    from tierdrill.history.ledger import Ledger

    with Ledger.kept(home) as ledger:
        return ledger.digest(run) if ledger else None


def made_before(home: Path, wanted: Iterable[tuple[DrillSetting, Sequence[str]]]) -> list[list[ProofRow]]:
    """For each drill, with the variants wanted for its proof, the rows of those that this build has shown with these
    documents.
    """
    from tierdrill.conductor.provenance import build_of, git_state
    from tierdrill.judge.trend.proof_status import shown_by
    from tierdrill.judge.trend.run_series import by_drill
    from tierdrill.recovery.finalize import figures_in

    known = {(one.drill, one.environment): one.runs for one in by_drill(figures_in(home))}
    git = git_state()
    found = []
    for one, variants in wanted:
        runs = known.get((one.drill.metadata.name, one.environment.metadata.name), ())
        found.append(shown_by(one, runs, variants, build_of(one, git)))
    return found
