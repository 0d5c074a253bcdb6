"""Checks between documents, and of their sense: what each model alone cannot see. One file per subject.

A check reports at the place that should be changed. It says nothing about what another document's own problem explains
already: a name is known when a document of that name was read, even if it was broken.
"""

from collections.abc import Collection, Mapping

from tierdrill.documents.check.absences import check_absences
from tierdrill.documents.check.calendars import check_calendars
from tierdrill.documents.check.check_context import Context
from tierdrill.documents.check.decision_rights import check_decisions
from tierdrill.documents.check.drills import check_drills
from tierdrill.documents.check.environments import check_environments
from tierdrill.documents.check.experiments import check_experiments, excuse_unused_experiments
from tierdrill.documents.check.gamedays import check_gamedays
from tierdrill.documents.check.playbooks import check_playbooks
from tierdrill.documents.check.scenarios import check_scenarios
from tierdrill.documents.check.tiers import check_tier_tests, check_tiers, check_workloads
from tierdrill.documents.reading.reading_state import AbsentIn, KnownAlerts, Reading, nothing_absent


def check_documents(
    reading: Reading,
    known_alerts: KnownAlerts | None = None,
    absent: AbsentIn = nothing_absent,
    *,
    unused: bool = True,
) -> None:
    """Adds every problem between the documents, and of each one's sense, to the reading.

    Without `unused` other people's experiments that no drill uses are passed over.
    """
    alerts: Mapping[str, Collection[str]] | None = (
        known_alerts(reading.catalogue) if callable(known_alerts) else known_alerts
    )
    for environment in reading.catalogue.environments.values() if alerts is not None else ():
        if environment.monitoring is not None:
            alerts = {**dict.fromkeys(environment.monitoring.alerts, ()), **(alerts or {})}
    context = Context(reading, alerts, absent)
    check_tiers(context)
    check_workloads(context)
    check_tier_tests(context)
    check_environments(context)
    check_playbooks(context)
    check_decisions(context)
    check_experiments(context, unused=unused)
    check_drills(context)
    check_calendars(context)
    check_gamedays(context)
    check_scenarios(context)
    check_absences(context)
    excuse_unused_experiments(reading)
