"""What every check is given: the reading, the alerts that exist, and what an environment has in it by name."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from tierdrill.did_you_mean import nearest
from tierdrill.documents.catalogue import Catalogue
from tierdrill.documents.environment_inventory import Inventory, inventory_of
from tierdrill.documents.models.drill import Drill, Load
from tierdrill.documents.models.environment import Environment
from tierdrill.documents.models.tiers import Tiers
from tierdrill.documents.models.workloads import Workloads
from tierdrill.documents.problems import shown
from tierdrill.documents.reading.reading_state import AbsentIn, Place, Reading, nothing_absent
from tierdrill.text import listed

PLATFORM = ("controller", "prometheus", "alertmanager", "fabric", "supervisor")


@dataclass(frozen=True)
class Context:
    """The documents, and the alerts with their labels (None where nobody said which there are)."""

    reading: Reading
    alerts: Mapping[str, Collection[str]] | None
    absent: AbsentIn = nothing_absent

    @property
    def catalogue(self) -> Catalogue:
        """The documents that were read without a problem of their own."""
        return self.reading.catalogue

    def known(self, place: Place, kind: str, name: str) -> bool:
        """Whether a document of that kind and name was read; reports a dangling reference."""
        if name in self.reading.suspects:
            return True
        what = {"Tiers": "Tiers document", "Workloads": "Workloads document"}.get(kind, kind.lower())
        return place.known(name, what, self.reading.named(kind))

    def alerts_of(self, environment: Environment | None) -> Mapping[str, Collection[str]] | None:
        """The alerts of an environment with their labels (none: any); None where nobody said which there are."""
        if environment is not None and environment.monitoring is not None:
            return dict.fromkeys(environment.monitoring.alerts, ())
        return self.alerts

    def known_alert(self, place: Place, name: str, environment: Environment | None = None) -> None:
        """Reports an alert that no rule gives: of the environment's, or else of any."""
        alerts = self.alerts_of(environment)
        if alerts is not None:
            place.known(name, "alert", alerts)

    def known_labels(
        self, place: Place, alert: str, labels: Mapping[str, str], environment: Environment | None = None
    ) -> None:
        carried = (self.alerts_of(environment) or {}).get(alert)
        for label in labels if carried else ():
            if label not in (carried or ()):
                place.at(label).report(
                    f"alert {alert} has no label {shown(label)}",
                    f"its labels: {listed(sorted(carried or ()))}",
                    nearest(label, carried or ()),
                    key=True,
                )

    def environment_of(self, drill: Drill) -> Environment | None:
        """The drill's environment, if it was read without a problem."""
        return self.catalogue.environments.get(drill.environment)

    def tiers_of(self, environment: Environment | None) -> Tiers | None:
        """The environment's tiers, if they were read without a problem."""
        return self.catalogue.tiers.get(environment.tiers) if environment else None

    def workloads_of(self, environment: Environment | None) -> Workloads | None:
        """The environment's workloads, if they were read without a problem."""
        return self.catalogue.workloads.get(environment.workloads) if environment else None

    def inventory_of(self, environment: Environment | None, load: Load | None = None) -> Inventory | None:
        """What the lab will have under that load, or what the document of a platform says; None for a cluster, which
        only knows at run time, and where documents are missing.
        """
        tiers, workloads = self.tiers_of(environment), self.workloads_of(environment)
        if environment is None or tiers is None or workloads is None:
            return None
        return inventory_of(environment, tiers, workloads, load)
