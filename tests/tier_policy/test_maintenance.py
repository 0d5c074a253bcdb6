"""Nothing starts in a declared maintenance, but as a role that may declare one."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.cli.support import Done, copied_catalogue
from tests.judge.build import shipped
from tests.tier_policy.support import Tierdrill
from tierdrill.conductor.run_start import RunRefused, begin_run, may_run_in_maintenance
from tierdrill.documents.catalogue import setting_of
from tierdrill.documents.catalogue_reader import load_catalogue
from tierdrill.documents.models.tiers import Maintenance, Tiers
from tierdrill.gameday.step_runs import Opening, open_gameday
from tierdrill.history.audit_log import entries

TOUCHED = shipped().drill.touched
DECLARES = "team-serving-core"


def moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def declared(begins: float = -60.0, ends: float = 3600.0, tiers: tuple[str, ...] = ()) -> Tiers:
    now = time.time()
    one = Maintenance(
        start=moment(now + begins), end=moment(now + ends), declared_by=DECLARES, reason="switches", tiers=tiers
    )
    return shipped().tiers.model_copy(update={"maintenance": (one,)})


def in_maintenance(folder: Path) -> Path:
    """The shipped documents, in a maintenance."""
    root = copied_catalogue(folder)
    one = declared().maintenance[0]
    with (root / "drills/platform/tiers.yaml").open("a") as out:
        out.write(f'maintenance:\n  - {{start: "{one.start}", end: "{one.end}", declared_by: {DECLARES}, reason: x}}\n')
    return root


@pytest.mark.parametrize("about", [{"begins": 600.0}, {"begins": -600.0, "ends": -60.0}, {"tiers": ("nobodys",)}])
def test_one_that_does_not_go_on_or_is_of_other_tiers_keeps_nobody(about: dict[str, Any]) -> None:
    assert may_run_in_maintenance(declared(**about), TOUCHED, "") == ""


def test_only_a_role_that_may_declare_one_starts_in_it() -> None:
    with pytest.raises(RunRefused, match=r"maintenance of every tier until .* switches; .*--in-maintenance ROLE"):
        may_run_in_maintenance(declared(), TOUCHED, "")
    with pytest.raises(RunRefused, match=f"team-batch has no right .*; rights.declare_maintenance has {DECLARES}"):
        may_run_in_maintenance(declared(), TOUCHED, "team-batch")
    assert may_run_in_maintenance(declared(), TOUCHED, DECLARES).startswith("maintenance of every tier until ")


def test_the_role_is_in_the_audit_log(tmp_path: Path) -> None:
    with begin_run(tmp_path, "one", "node-loss", "drill", 1.0, lock="lab", author="ann", in_maintenance=DECLARES):
        pass
    (entry,) = entries(tmp_path, "drill.started")
    assert (entry.who, entry.after["in_maintenance"]) == ("ann", DECLARES)


@pytest.mark.parametrize(
    "command",
    [
        ("run", "node-loss"),
        ("prove", "node-loss"),
        ("train", "start", "amber-kettle"),
        ("gameday", "three-failures", "--yes"),
    ],
)
def test_every_command_that_injects_is_refused(tmp_path: Path, tierdrill: Tierdrill, command: tuple[str, ...]) -> None:
    root = in_maintenance(tmp_path / "mine")
    done: Done = tierdrill("--catalogue", root, *command)
    assert (done.code, "maintenance of every tier until " in done.err) == (2, True), done.err
    done = tierdrill("--catalogue", root, *command, "--in-maintenance", "team-batch")
    assert (done.code, "team-batch has no right" in done.err) == (2, True), done.err


def test_a_game_day_remembers_the_role(tmp_path: Path) -> None:
    catalogue, problems = load_catalogue(in_maintenance(tmp_path / "mine"), unused=False)
    assert problems == [] and setting_of(catalogue, "node-loss").tiers.maintenance
    opening = Opening("ann", in_maintenance=DECLARES)
    journal = open_gameday(tmp_path, catalogue.gamedays["three-failures"], catalogue, opening)
    assert journal.state.in_maintenance == DECLARES
