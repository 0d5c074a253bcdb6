"""The matrix of `prove`: what a drill, its blip twin and each sabotage had to come to, what they came to, and why."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tierdrill.documents.variables import what
from tierdrill.judge.proof import Ablation, ProofRow, missed, names
from tierdrill.report.format import UNICODE, Glyphs, show_seconds, variant_words
from tierdrill.text import plural

if TYPE_CHECKING:
    from rich.table import Table

REASONS_SHOWN = 3


def reason(row: ProofRow) -> str:
    """Why the row counts as proven or not, in one line."""
    return f"{_came_to(row)}; under {', '.join(row.under)}, which proves nothing" if row.under else _came_to(row)


def _came_to(row: ProofRow) -> str:
    named = [check for check in row.failed_checks if any(names(pattern, check) for pattern in row.named_checks)]
    others = [check for check in row.failed_checks if check not in named]
    aborted = f"aborted by guardrail ({row.guardrail})" if row.guardrail else ""
    if row.variant.startswith("sabotage:"):
        if aborted and row.doubts:
            return f"{aborted} in a run that cannot be believed: {_some(row.doubts)}"
        if aborted and missed(row):
            return f"{aborted} before {_some(missed(row))} was seen to be broken"
        if aborted:
            return f"{_some(named)} failed, then {aborted}"
        if not row.failed_checks:
            return f"nothing failed; {_some(row.named_checks)} had to"
        if missed(row):
            return f"{_some(missed(row))} did not fail; {_some(row.failed_checks)} did"
        also = f" (and {len(others)} more)" if others else ""
        return f"{_some(named)} failed{also}"
    if aborted:
        return aborted
    if row.failed_checks:
        return f"{_some(row.failed_checks)} failed"
    if row.status != "passed":
        return f"the run was {row.status}"
    return "nothing fired" if row.variant == "blip" else "every check passed"


def proven(rows: Sequence[ProofRow], left: Sequence[str] = ()) -> bool:
    """Is the drill proven: every row as it must be, at least one row, and no variant `left` to be run?"""
    return bool(rows) and not left and all(row.ok for row in rows)


def conclusion(drill: str, rows: Sequence[ProofRow], left: Sequence[str] = ()) -> str:
    """The last line of a proof; `left` are the variants that were not run any more."""
    good = sum(row.ok for row in rows)
    if proven(rows, left):
        return f"{drill} is proven: all {plural(len(rows), 'run')} came out as they must."
    ended = f"; the proof ended before {len(left)} more" if left else ""
    return f"{drill} is NOT proven: {good} of {plural(len(rows), 'run')} came out as they must{ended}."


def _table(title: str, glyphs: Glyphs, columns: Sequence[tuple[str, dict[str, Any]]]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(
        title=title,
        box=box.ASCII if glyphs.ascii_only else box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        title_justify="left",
        pad_edge=False,
        expand=False,
    )
    for head, options in columns:
        table.add_column(head, **options)
    return table


def matrix_table(drill: str, rows: Sequence[ProofRow], glyphs: Glyphs = UNICODE) -> Table:
    from rich.text import Text

    table = _table(
        glyphs.text(f"prove {drill}"),
        glyphs,
        (
            ("", {}),
            ("run", {"overflow": "fold"}),
            ("must", {"no_wrap": True}),
            ("result", {"no_wrap": True}),
            ("because", {"overflow": "fold", "ratio": 1}),
            ("took", {"justify": "right", "no_wrap": True}),
        ),
    )
    for row in rows:
        style = "green" if row.ok else "bold red"
        table.add_row(
            Text(glyphs.ok if row.ok else glyphs.bad, style=style),
            glyphs.text(row.variant.partition(":")[2] or variant_words(row.variant)),
            glyphs.text(row.expected),
            Text(glyphs.text(row.status), style=style),
            glyphs.text(reason(row)),
            glyphs.text(show_seconds(row.seconds)),
        )
    return table


def matrix_json(drill: str, rows: Sequence[ProofRow], left: Sequence[str] = ()) -> str:
    """The matrix for machines; keys sorted. `left` are the variants that were not run any more."""
    records = [_record(row) for row in rows]
    document = {"drill": drill, "proven": proven(rows, left), "rows": records, "left": list(left)}
    return json.dumps(document, sort_keys=True, indent=2) + "\n"


def _unproven(found: Sequence[Ablation], left: Sequence[str]) -> list[str]:
    return [one.part for one in found if one.noticed_by is None and one.part not in left]


def ablation_conclusion(found: Sequence[Ablation], left: Sequence[str] = ()) -> str:
    """The last line of an ablation: what is unproven, if anything is. `left` is what was not asked to the end."""
    unproven = _unproven(found, left)
    if left:
        told = f"Unproven: {', '.join(unproven)}. " if unproven else ""
        return f"{told}The proof ended before it was known of: {', '.join(left)}."
    if found and not unproven:
        parts = found[0].part if len(found) == 1 else f"each of {len(found)} protections and playbooks"
        return f"Nothing is unproven: a promise breaks without {parts}."
    return f"Unproven: {', '.join(unproven) or 'everything, for nothing was taken away'}. No drill notices without."


def ablation_table(found: Sequence[Ablation], glyphs: Glyphs = UNICODE, left: Sequence[str] = ()) -> Table:
    """What each protection and playbook is needed for, for a terminal."""
    from rich.text import Text

    table = _table(
        glyphs.text("prove --ablate"),
        glyphs,
        (
            ("", {}),
            ("without", {"overflow": "fold"}),
            ("noticed by", {"overflow": "fold"}),
            ("by which promise", {"overflow": "fold", "ratio": 1}),
            ("took", {"justify": "right", "no_wrap": True}),
        ),
    )
    for one in found:
        tried = _tried(one, "open" if one.part in left else "unproven")
        table.add_row(
            Text(glyphs.ok if one.promises else glyphs.bad, style="green" if one.promises else "bold red"),
            glyphs.text(what(one.part)),
            glyphs.text(one.noticed_by or "no drill"),
            glyphs.text(_some(one.promises) if one.promises else tried),
            glyphs.text(show_seconds(sum(row.seconds for row in one.rows))),
        )
    return table


def _tried(one: Ablation, word: str) -> str:
    tried = [
        f"{drill} {reason(row) if row.guardrail else row.status}"
        for drill, row in zip(one.drills, one.rows, strict=True)
    ]
    return f"{word}: {', '.join(tried) or 'no drill could notice'}"


def ablation_json(whole: Mapping[str, ProofRow], found: Sequence[Ablation], left: Sequence[str] = ()) -> str:
    """The same for machines; keys sorted. `left` is what was not asked to the end, and neither proven nor unproven."""
    parts = [
        {
            "part": one.part,
            "noticed_by": one.noticed_by,
            "promises": one.promises,
            "runs": [{"drill": drill, **_record(row)} for drill, row in zip(one.drills, one.rows, strict=True)],
        }
        for one in found
    ]
    unproven = _unproven(found, left)
    record = {
        "proven": bool(found) and not unproven and not left,
        "unproven": unproven,
        "left": list(left),
        "parts": parts,
        "drills": {name: _record(row) for name, row in whole.items()},
    }
    return json.dumps(record, sort_keys=True, indent=2) + "\n"


def _record(row: ProofRow) -> dict[str, Any]:
    return {**asdict(row), "reason": reason(row), "seconds": round(row.seconds, 3)}


def _some(checks: Sequence[str]) -> str:
    shown = ", ".join(checks[:REASONS_SHOWN])
    return shown if len(checks) <= REASONS_SHOWN else f"{shown} and {len(checks) - REASONS_SHOWN} more"
