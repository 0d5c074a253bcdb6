"""The verdict for machines: as JSON with when things happened and where it comes from, and as JUnit XML."""

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree

from tierdrill.documents.catalogue import DrillSetting
from tierdrill.history.events import Event
from tierdrill.judge.verdict import GROUPS, HARMLESS, Check, Status, Verdict
from tierdrill.report.run.acts import acts_of
from tierdrill.report.run.origin import duration_of, emulated_parts, provenance, utc
from tierdrill.report.run_model import RunState
from tierdrill.report.run_state import story

FORMAT = "tierdrill/report/v1"


def json_report(setting: DrillSetting, events: Sequence[Event], verdict: Verdict) -> str:
    """The report for machines. Moments are seconds after the fault's effect, `started` is Unix seconds."""
    state = story(events)
    document = {
        "format": FORMAT,
        "verdict": json.loads(verdict.to_json()),
        "exit_code": verdict.exit_code,
        "started": _rounded(state.started),
        "started_utc": utc(state.started),
        "seconds": _rounded(duration_of(state)),
        "effect": _rounded(state.effect),
        "faults": [_fault(state, name) for name in state.faults],
        "alerts": [
            {
                "alert": view.alert,
                "labels": dict(view.labels),
                "severity": view.severity,
                "firing": _offset(state, view.firing_at),
                "resolved": _offset(state, view.resolved_at),
            }
            for view in state.alerts.values()
        ],
        "playbooks": [
            {
                "playbook": view.playbook,
                "target": view.target,
                "phase": view.phase,
                "ok": view.ok,
                "reason": view.reason,
                "started": _offset(state, view.started_at),
                "finished": _offset(state, view.finished_at),
            }
            for view in state.playbooks
        ],
        "acts": [
            {
                "at": _offset(state, act.at),
                "who": act.who,
                "did": act.did,
                "on": act.on,
                "seen": act.said,
                "playbook": act.playbook or None,
                "own": act.own,
            }
            for act in acts_of(events, state)
        ],
        "provenance": provenance(setting, state, verdict),
        "emulated": list(emulated_parts(setting, state)),
        "events": len(events),
        "digest": state.digest or None,
    }
    return json.dumps(document, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _fault(state: RunState, name: str) -> dict[str, Any]:
    fault = state.faults[name]
    return {
        "fault": fault.id,
        "kind": fault.kind,
        "target": fault.target,
        "mechanism": fault.mechanism,
        "status": fault.status,
        "landed": _offset(state, fault.effective_at),
        "gone": _offset(state, fault.gone_at),
        "witnesses": sorted({witness for witness in (fault.landed_by, fault.gone_by) if witness}),
    }


def _offset(state: RunState, at: float | None) -> float | None:
    return None if at is None else _rounded(at - state.zero)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(setting: DrillSetting, events: Sequence[Event], verdict: Verdict) -> str:
    """The report as CI systems read it. A run that did not pass is never all green, whatever its checks say."""
    state = story(events)
    groups = [*GROUPS, *sorted({check.group for check in verdict.checks} - set(GROUPS))]
    suites = [(group, [check for check in verdict.checks if check.group == group]) for group in groups]
    if verdict.status is not Status.PASSED and all(check.status is Status.PASSED for check in verdict.checks):
        whole = Check("run/verdict", "verdict", verdict.status, "the verdict", "passed", verdict.summary)
        suites.append(("verdict", [whole]))
    suites = [(group, checks) for group, checks in suites if checks]
    root = ElementTree.Element("testsuites", _counts([check for _, checks in suites for check in checks]))
    root.set("name", _clean(f"{verdict.drill} ({verdict.variant})"))
    root.set("time", f"{duration_of(state) or 0:.3f}")
    for group, checks in suites:
        suite = ElementTree.SubElement(root, "testsuite", {"name": _clean(group), **_counts(checks), "time": "0"})
        if state.started is not None:
            suite.set("timestamp", datetime.fromtimestamp(state.started, UTC).strftime("%Y-%m-%dT%H:%M:%S"))
        if group == suites[0][0]:
            properties = ElementTree.SubElement(suite, "properties")
            for name, value in {**provenance(setting, state, verdict), "status": verdict.status.value}.items():
                ElementTree.SubElement(properties, "property", {"name": _clean(name), "value": _clean(value)})
        for check in checks:
            _add_case(suite, check, verdict)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _add_case(suite: ElementTree.Element, check: Check, verdict: Verdict) -> None:
    where = f"tierdrill.{verdict.drill}.{verdict.variant}.{check.group}".replace(":", ".")
    case = ElementTree.SubElement(
        suite, "testcase", {"name": _clean(check.id), "classname": _clean(where), "time": "0"}
    )
    cited = f"events: {' '.join(f'#{number}' for number in check.events[:50])}" if check.events else ""
    text = _clean("\n".join(filter(None, (check.title, f"expected: {check.expected}", f"seen: {check.seen}", cited))))
    if check.status is Status.PASSED:
        ElementTree.SubElement(case, "system-out").text = text
        return
    if check.status is Status.NOT_MEASURED:
        ElementTree.SubElement(case, "skipped", {"message": _clean(check.seen)})
        return
    kind = "failure" if check.status is Status.FAILED else "error"
    ElementTree.SubElement(
        case, kind, {"message": _clean(f"expected {check.expected}; seen {check.seen}"), "type": check.status.value}
    ).text = text


def _counts(checks: Sequence[Check]) -> dict[str, str]:
    failures = sum(check.status is Status.FAILED for check in checks)
    skipped = sum(check.status is Status.NOT_MEASURED for check in checks)
    errors = sum(check.status not in HARMLESS for check in checks) - failures
    counts = {"tests": len(checks), "failures": failures, "errors": errors, "skipped": skipped}
    return {name: str(count) for name, count in counts.items()}


def _clean(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
