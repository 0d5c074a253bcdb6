"""What the repository ships: documents without a problem, and tables that say what the code behind them does."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

from tierdrill.chaos import actions
from tierdrill.faults.catalogue import CATALOGUE
from tierdrill.spec.catalogue import setting_of
from tierdrill.spec.chaoslibcheck import ask
from tierdrill.spec.faultactions import DELAY_MS_MAX, FAULTS, LEASE, MODULE, UNDOS
from tierdrill.spec.faultkinds import FAULT_KINDS
from tierdrill.spec.load import load_catalogue

ROOT = Path(__file__).parents[2]


def test_the_shipped_catalogue_has_no_problem() -> None:
    catalogue, problems = load_catalogue(ROOT)
    assert problems == []
    assert catalogue.warnings == []
    assert len(catalogue.drills) >= 4
    for name in catalogue.drills:
        assert setting_of(catalogue, name).drill.metadata.name == name


def test_fault_actions_are_as_the_extension_has_them() -> None:
    assert actions.__name__ == MODULE
    assert sorted((*FAULTS, *UNDOS)) == sorted(actions.__all__)
    for name, fault in FAULTS.items():
        parameters = inspect.signature(getattr(actions, name)).parameters
        assert [one.name for one in parameters.values() if one.default is inspect.Parameter.empty] == list(
            fault.required
        )
        assert set(parameters) == {*fault.required, *fault.optional}
        assert {key: parameters[key].default for key in fault.defaults} == dict(fault.defaults)
        assert LEASE in parameters
        undo = inspect.signature(getattr(actions, fault.undo)).parameters
        assert set(undo) == {*fault.required, *fault.optional_for_undo}


def test_fault_actions_are_as_the_catalogue_of_faults_has_them() -> None:
    assert {(one.action, one.undo, one.target_kind) for one in CATALOGUE.values()} == {
        (name, fault.undo, fault.reach) for name, fault in FAULTS.items()
    }
    delay = next(one for one in CATALOGUE.values() if one.action == "delay_link")
    assert DELAY_MS_MAX in [parameter.maximum for parameter in delay.parameters]


def test_the_kinds_that_scenarios_name_are_in_the_catalogue_of_faults() -> None:
    assert {kind: fault.action for kind, fault in CATALOGUE.items()} == FAULT_KINDS


def test_chaoslib_accepts_the_shipped_experiments() -> None:
    catalogue, _ = load_catalogue(ROOT)
    answers = ask([one.content for one in catalogue.experiments.values()])
    assert answers and {(answer.refused, answer.missing) for answer in answers} == {(None, ())}


def test_reading_documents_does_not_import_chaos_toolkit() -> None:
    code = "import sys, tierdrill.spec.load; sys.exit(bool({'chaoslib', 'httpx', 'locust'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], timeout=30, check=False).returncode == 0
