"""The HTML report: one self-contained file, made from documents, history and verdict alone."""

import re
from collections.abc import Sequence
from functools import cache

from jinja2 import Environment
from markupsafe import Markup

from tierdrill.documents.catalogue import DrillSetting
from tierdrill.documents.models.units import show_duration
from tierdrill.documents.variables import resolve_drill
from tierdrill.history.events import Event
from tierdrill.judge.verdict import GROUPS, WORST_FIRST, Check, Verdict
from tierdrill.report.charts import timeline_chart as timeline
from tierdrill.report.charts.sample_series import all_samples, tier_series
from tierdrill.report.format import UNICODE, show_count, show_offset, show_seconds, show_share, variant_words
from tierdrill.report.html_template import page_environment
from tierdrill.report.run.acts import acts_of, notices_of
from tierdrill.report.run.cited_events import evidence_of
from tierdrill.report.run.headline import answers
from tierdrill.report.run.origin import duration_of, emulated_parts, provenance, utc
from tierdrill.report.run.touched_targets import blast_of
from tierdrill.report.run_state import story
from tierdrill.text import plural

GROUP_TITLES = {
    "run": "The run itself",
    "load": "Load generator",
    "experiment": "The experiment's own word",
    "fault": "Faults",
    "slo": "Objectives of the tiers",
    "invariant": "Between the tiers",
    "alert": "Alerts",
    "playbook": "Playbooks",
    "class": "Class of failure",
}


def html_report(setting: DrillSetting, events: Sequence[Event], verdict: Verdict) -> str:
    """The whole page."""
    return _made("report.html", setting, events, verdict)


def report_body(setting: DrillSetting, events: Sequence[Event], verdict: Verdict) -> Markup:
    """What the page says, for a page that has a head and a style of its own."""
    return Markup(_made("report-body.html", setting, events, verdict))  # noqa: S704


def _made(template: str, setting: DrillSetting, events: Sequence[Event], verdict: Verdict) -> str:
    setting = resolve_drill(setting)
    state = story(events)
    samples = list(all_samples(events))
    width = timeline.bin_width(state)
    series = tier_series(samples, state.zero, width)
    blast = blast_of(setting, state, events, samples)
    return (
        _environment()
        .get_template(template)
        .render(
            setting=setting,
            verdict=verdict,
            state=state,
            answers=answers(setting, state, verdict, blast),
            deciding=deciding(verdict),
            tally=tally(verdict),
            timeline=timeline.build(setting, state, verdict, series, width),
            bin_width=width,
            blast=blast,
            acts=acts_of(events, state),
            notices=notices_of(events),
            groups=grouped(verdict),
            evidence=evidence_of(events, verdict, state),
            provenance=provenance(setting, state, verdict),
            emulated=emulated_parts(setting, state),
            started=utc(state.started),
            lasted=show_seconds(duration_of(state)),
        )
    )


def deciding(verdict: Verdict) -> tuple[Check, ...]:
    return tuple(check for check in (verdict.check(name) for name in verdict.reasons) if check is not None)


def tally(verdict: Verdict) -> str:
    """ "25 checks: 24 passed, 1 failed"."""
    counts = [(status, sum(check.status is status for check in verdict.checks)) for status in reversed(WORST_FIRST)]
    return f"{plural(len(verdict.checks), 'check')}: " + ", ".join(
        f"{count} {status}" for status, count in counts if count
    )


def grouped(verdict: Verdict) -> tuple[tuple[str, tuple[Check, ...]], ...]:
    """Checks by group in the usual order, groups that no view knows last. Within a group, failed ones come first."""
    names = [*GROUPS, *sorted({check.group for check in verdict.checks} - set(GROUPS))]
    result = []
    for name in names:
        mine = [check for check in verdict.checks if check.group == name]
        mine.sort(key=lambda check: WORST_FIRST.index(check.status))
        if mine:
            result.append((GROUP_TITLES.get(name, name), tuple(mine)))
    return tuple(result)


def _humps(name: str) -> Markup:
    """A name that may break before its capitals, and nowhere else inside a word."""
    return Markup("<wbr>").join(part for part in re.split(r"(?<=[a-z])(?=[A-Z])", name))


@cache
def _environment() -> Environment:
    return page_environment(
        {
            "duration": show_duration,
            "share": show_share,
            "offset": show_offset,
            "count": show_count,
            "icon": UNICODE.status,
            "variant": variant_words,
            "humps": _humps,
        }
    )
