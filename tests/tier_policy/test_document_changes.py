"""What a run was made from, against the run before it: a change is in the audit log, and an approval is there once."""

from __future__ import annotations

from pathlib import Path

from tests.judge.build import shipped
from tierdrill.documents.models.tiers import Approval, Maintenance, Tiers
from tierdrill.history.audit_log import entries
from tierdrill.tier_policy.document_changes import record_documents

SETTING = shipped()


def changed(tier: str, **fields: object) -> Tiers:
    tiers = SETTING.tiers
    return tiers.model_copy(
        update={"tiers": tuple(one.model_copy(update=fields) if one.name == tier else one for one in tiers.tiers)}
    )


def test_the_first_run_tells_what_it_used_and_the_next_only_what_changed(tmp_path: Path) -> None:
    documents = (SETTING.tiers, SETTING.workloads, SETTING.environment)
    record_documents(tmp_path, documents, "ann", "r1")
    record_documents(tmp_path, documents, "bob", "r2")
    assert [(one.who, one.what, one.about, one.before) for one in entries(tmp_path)] == [
        ("ann", "policy.changed", "Tiers serving", None),
        ("ann", "policy.changed", "Workloads models", None),
        ("ann", "policy.changed", "Environment lab", None),
    ]
    record_documents(tmp_path, (changed("critical", deadline=9.0), *documents[1:]), "cleo", "r3")
    *_, last = entries(tmp_path)
    assert (last.who, last.about, last.why) == ("cleo", "Tiers serving", "used by run r3")
    assert {name for name in last.after if last.before[name] != last.after[name]} == {"document", "critical"}
    record_documents(tmp_path, documents, "ann", "r4")
    first, *_, last = entries(tmp_path)
    assert last.after == first.after


def test_a_decision_is_recorded_once_under_the_name_of_who_made_it(tmp_path: Path) -> None:
    approval = Approval(tier="critical", fields=("deadline",), by="head", on="2026-11-30", reason="agreed")
    window = Maintenance(start="2026-12-01", end="2026-12-02", declared_by="sre", reason="switches")
    tiers = changed("critical", deadline=9.0).model_copy(update={"approvals": (approval,), "maintenance": (window,)})
    for number, used in enumerate((tiers, tiers, SETTING.tiers, tiers)):
        record_documents(tmp_path, (used,), "ann", f"r{number}")
    told = [(one.who, one.what, one.about, one.why) for one in entries(tmp_path) if one.what != "policy.changed"]
    assert told == [
        ("head", "policy.approved", "critical", "agreed"),
        ("sre", "maintenance.declared", "every tier", "switches"),
    ]
