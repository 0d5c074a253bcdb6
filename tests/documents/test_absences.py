"""What a target does not have is told before a run, where a document asks for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.documents.support import DRILL, SCENARIO, good_catalogue
from tierdrill.cli.folders import shipped_catalogue
from tierdrill.documents.catalogue_reader import load_catalogue
from tierdrill.documents.reading.reading_state import Absent
from tierdrill.faults.known_kinds import KINDS
from tierdrill.targets.kubernetes.target import KubernetesTarget
from tierdrill.targets.lab.fault_port import MECHANISMS
from tierdrill.targets.target_registry import absent_in


@pytest.mark.parametrize(
    ("absent", "path", "told"),
    [
        ({"fault": {"node-power-loss": "no way"}}, DRILL, "fault node-power-loss in environment lab; no way"),
        ({"remedy": {"reschedule": "no way"}}, DRILL, "remedy reschedule in environment lab; no way"),
        ({"sabotage": {"flags_off": "none"}}, DRILL, "sabotage flags_off in environment lab; none"),
        ({"use": {"exercise": "no trainee"}}, SCENARIO, "use exercise in environment lab; no trainee"),
        ({"fault": {"link-latency": "no way"}, "use": {"work": "no"}}, "", ""),
    ],
)
def test_what_is_absent_is_told_where_it_is_asked_for(absent: Absent, path: str, told: str, tmp_path: Path) -> None:
    _, problems = load_catalogue(good_catalogue(tmp_path), absent=lambda environment: absent)
    assert {(one.path, f"{one.found}; {one.allowed}") for one in problems} == ({(path, told)} if told else set())
    assert all(one.line > 1 for one in problems)


def test_the_lab_has_all_but_what_needs_a_cluster(tmp_path: Path) -> None:
    catalogue, _ = load_catalogue(good_catalogue(tmp_path))
    told = [absent_in(environment) for environment in catalogue.environments.values()]
    assert [set(each) for each in told] == [{"fault", "remedy"}]
    without_store = "its lab has no state store (lab.state_store)"
    absent = told[0]["fault"]
    unknown = set(KINDS) - set(MECHANISMS)
    assert set(absent) == unknown >= {"node-drain", "quota-squeeze"}
    assert set(absent.values()) == {"the lab has no mechanism for it"}
    assert told[0]["remedy"] == {"restart-members": without_store}
    (environment,) = catalogue.environments.values()
    stored = environment.model_copy(update={"lab": environment.lab.model_copy(update={"state_store": True})})
    assert set(absent_in(stored)["fault"]) == unknown and "remedy" not in absent_in(stored)


def test_what_kubernetes_does_to_whole_nodes_alone_is_told_of_playbooks_that_do_it_to_a_gpu() -> None:
    absent = {"remedy": KubernetesTarget().absent()["remedy"]}
    _, problems = load_catalogue(shipped_catalogue(), absent=lambda environment: absent)
    told = {Path(one.path).stem: one.allowed for one in problems if "of a GPU" in str(one.found)}
    assert told.keys() == {"nvlink-errors", "gpu-withdrawn", "row-remap-failed"}
    assert set(told.values()) == {"Kubernetes takes whole nodes out of service, not a GPU"}
