"""The README's table of drills is what the documents say: cause, what is expected of each tier, alert, playbook."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.shipped import shipped_documents
from tierdrill.documents.catalogue import DrillSetting, setting_of
from tierdrill.documents.reading.fault_actions import calls

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
TITLE = "## The drills\n\n"


def expected_of(setting: DrillSetting, tier: str) -> str:
    """Whether a tier must keep its promises all along, only have them back once the fault is over, or is not judged."""
    phases = {phase for one in setting.drill.expect.tiers if one.tier == tier for phase in one.during}
    return "holds" if "fault" in phases else "recovers" if phases else "–"


def row(setting: DrillSetting) -> str:
    """One drill's line."""
    drill = setting.drill
    faults = {one.fault.kind: one.fault for one in calls(setting.experiment) if one.section == "method"}
    alerts = dict.fromkeys(one.alert for one in drill.expect.alerts.must_fire)
    playbooks = dict.fromkeys(one.playbook for one in drill.expect.playbooks.must_fire)
    name = drill.metadata.name
    cells = (
        f"[{name}](drills/{name}.yaml)",
        "; ".join(fault.cause for fault in faults.values()),
        *(expected_of(setting, tier.name) for tier in setting.tiers.by_rank()),
        ", ".join(alerts) or "none",
        ", ".join(playbooks) or "none",
    )
    return f"| {' | '.join(cells)} |"


def table() -> Iterator[str]:
    """Every shipped drill, by family of what it breaks."""
    catalogue = shipped_documents()
    settings = [setting_of(catalogue, name) for name in catalogue.drills]
    tiers = [tier.name for tier in settings[0].tiers.by_rank()]
    yield f"| drill | cause | {' | '.join(tiers)} | alert | playbook |"
    yield f"|---|---|{'---|' * len(tiers)}---|---|"
    for setting in sorted(settings, key=lambda one: (one.drill.experiment.split("/")[0], one.drill.metadata.name)):
        yield row(setting)


def test_the_table_of_drills_says_what_the_documents_say() -> None:
    section = README.read_text(encoding="utf-8").partition(TITLE)[2].partition("\n## ")[0]
    assert [line for line in section.splitlines() if line.startswith("|")] == list(table())
