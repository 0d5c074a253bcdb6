"""A run's tiers, workloads and environment against those that were last used: a change is in the audit log."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tierdrill.documents.models.environment import Environment
from tierdrill.documents.models.tiers import Tiers
from tierdrill.documents.models.units import Part
from tierdrill.documents.models.workloads import Workloads
from tierdrill.history.audit_log import AuditEntry, append, entries

CHANGED, APPROVED, DECLARED = "policy.changed", "policy.approved", "maintenance.declared"
ANY = "every tier"
DIGEST_LENGTH = 16


def record_documents(home: Path, documents: Sequence[Tiers | Workloads | Environment], who: str, run: str) -> None:
    """Write down each that is not as it was last used, and approvals and maintenance that are new in it.

    Of tiers the state has a digest each, so that the entry says which of them changed. AuditError where that fails.
    """
    known = {entry.about: entry.after for entry in entries(home, CHANGED)}
    for document in documents:
        about, state = f"{document.kind} {document.metadata.name}", _state(document)
        if (before := known.get(about)) != state:
            append(home, AuditEntry(who, CHANGED, about, f"used by run {run}", before, state))
            _record_decisions(home, document)


def _record_decisions(home: Path, document: Tiers | Workloads | Environment) -> None:
    if not isinstance(document, Tiers):
        return
    decisions = [
        *((one.by, APPROVED, one.tier, one, one.reason) for one in document.approvals),
        *((one.declared_by, DECLARED, ", ".join(one.tiers) or ANY, one, one.reason) for one in document.maintenance),
    ]
    known = [(entry.what, entry.after) for kind in (APPROVED, DECLARED) for entry in entries(home, kind)]
    for who, what, about, decision, why in decisions:
        after = {"document": document.metadata.name, **decision.model_dump(mode="json")}
        if (what, after) not in known:
            append(home, AuditEntry(who, what, about, why, None, after))


def _state(document: Tiers | Workloads | Environment) -> dict[str, Any]:
    parts: Iterable[tuple[str, Part]] = ()
    if isinstance(document, Tiers):
        parts = ((tier.name, tier) for tier in document.tiers)
    return {"document": _digest(document), **{name: _digest(part) for name, part in parts}}


def _digest(part: Part) -> str:
    text = json.dumps(part.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]
