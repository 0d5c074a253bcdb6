"""How numbers, times and statuses are spelled, the same in every view."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeGuard

from tierdrill.documents.models.units import show_duration, show_ratio
from tierdrill.judge.verdict import Check, Status
from tierdrill.text import plural, visible

SHARE_ASPECTS = ("availability", "error_ceiling", "integrity", "fallback", "retries", "worst_window")
RUN_TIMES = ("time_to_detect", "time_to_mitigate", "time_to_recover", "mttr")
TIME_ASPECTS = ("latency", "time_to_first_token", "ttft", "queue_wait", "stall", *RUN_TIMES)
CEILINGS = ("error_ceiling", "fallback", "retries", *TIME_ASPECTS)

ASPECT_WORDS = {
    "availability": "availability",
    "error_ceiling": "error share",
    "integrity": "answers correct",
    "fallback": "answers of another model",
    "latency": "latency",
    "time_to_first_token": "first token",
    "ttft": "first token",
    "queue_wait": "queue wait",
    "stall": "longest stall",
    "retries": "retries",
    "mttr": "time to mitigate",
    "worst_window": "worst window",
    "fault_phase": "errors in the fault phase",
    "fault_phase_times": "times in the fault phase",
}


@dataclass(frozen=True)
class Glyphs:
    """The few signs beyond ASCII that the terminal views use, and how to do without them."""

    ok: str = "✓"
    bad: str = "✗"
    unknown: str = "?"
    stop: str = "■"
    alarm: str = "!"
    at_least: str = "≥"
    at_most: str = "≤"
    to: str = "–"
    dot: str = "·"
    arrow: str = "→"
    minus: str = "−"
    ascii_only: bool = False

    def status(self, status: Status) -> str:
        """The sign of a status; the word always stands beside it."""
        return {
            Status.PASSED: self.ok,
            Status.FAILED: self.bad,
            Status.INCONCLUSIVE: self.unknown,
            Status.ABORTED: self.stop,
            Status.UNCLEAN: self.alarm,
            Status.NOT_MEASURED: self.dot,
        }[status]

    def text(self, value: str) -> str:
        """Any text as this terminal can show it, control characters made visible."""
        clean = visible(value)
        if not self.ascii_only:
            return clean
        return clean.translate(_TO_ASCII).encode("ascii", "replace").decode("ascii")


UNICODE = Glyphs()
ASCII = Glyphs("+", "x", "?", "#", "!", ">=", "<=", "-", "-", "->", "-", ascii_only=True)
_TO_ASCII = str.maketrans(
    {
        "✓": "+",
        "✗": "x",
        "≥": ">=",
        "≤": "<=",
        "–": "-",
        "—": "-",
        "·": "-",
        "→": "->",
        "−": "-",
        "±": "+/-",
        "×": "x",
        "…": "...",
        "’": "'",
        "“": '"',
        "”": '"',
        "µ": "u",
    }
)


FIGURE_MAX = 1e15
"""What is larger is no figure of a run."""


def _is_number(value: object) -> TypeGuard[float]:
    """Whether there is a figure to show: a history from elsewhere may hold anything."""
    return isinstance(value, int | float) and abs(value) < FIGURE_MAX


def glyphs_for(stream: object) -> Glyphs:
    """The signs that a stream or a console can show, by its encoding."""
    encoding = (getattr(stream, "encoding", None) or "utf-8").lower().replace("-", "")
    return UNICODE if encoding.startswith("utf8") else ASCII


def show_seconds(value: object, missing: str = "–") -> str:
    """A stretch of time: "80 ms", "3.1 s", "51 s", "2 min 05 s"."""
    if not _is_number(value):
        return missing
    size = abs(value)
    if 0 < size < 0.9995:
        return f"{value * 1000:.0f} ms"
    if 0 < size < 9.95:
        return f"{value:.1f} s"
    if size < 120:
        return f"{value:.1f} s" if round(value * 10) % 10 else f"{value:.0f} s"
    minutes, seconds = divmod(round(value), 60)
    return f"{minutes} min {seconds:02d} s"


def show_latency(value: object, missing: str = "–") -> str:
    """A latency: whole milliseconds below a second, else two decimals."""
    if not _is_number(value):
        return missing
    return f"{value * 1000:.0f} ms" if abs(value) < 0.9995 else f"{value:.2f} s"


def show_share(value: object, missing: str = "–") -> str:
    """A share as a percentage, never rounded up to 100% nor down to 0%."""
    if not _is_number(value):
        return missing
    percent = value * 100
    for digits in (2, 3, 4):
        text = f"{percent:.{digits}f}"
        if float(text) not in (0.0, 100.0) or percent in (0.0, 100.0):
            return f"{float(text):g}%"
    return "<100%" if percent > 50 else ">0%"


def show_offset(value: object, missing: str = "–") -> str:
    """A moment relative to the fault's effect: "+3.1 s", "−12 s"."""
    if not _is_number(value):
        return missing
    tenths = round(value, 1)
    sign = "−" if tenths < 0 else "+"
    return f"{sign}{abs(tenths):.1f} s"


def show_count(value: int) -> str:
    return f"{value:,}"


def held_words(checks: Sequence[Check]) -> str:
    """ "3 of 4 objectives held", and how many of them are not measured here."""
    held = sum(check.status is Status.PASSED for check in checks)
    blind = sum(check.status is Status.NOT_MEASURED for check in checks)
    words = f"{held} of {plural(len(checks) - blind, 'objective')} held"
    return f"{words}, {blind} {Status.NOT_MEASURED}" if blind else words


def aspect_of(check: Check) -> tuple[str, str]:
    """Objective and quantile of an SLO check: `slo/critical/latency-p99` -> ("latency", "p99")."""
    last = check.id.rsplit("/", 1)[-1]
    name, _, quantile = last.partition("-p")
    return name.replace("-", "_"), f"p{quantile}" if quantile else ""


def aspect_words(check: Check) -> str:
    """An SLO check's objective in words: "p99 latency"."""
    name, quantile = aspect_of(check)
    words = ASPECT_WORDS.get(name, name.replace("_", " "))
    return f"{quantile} {words}".strip()


def show_measure(check: Check, value: float | None) -> str:
    """A figure of an SLO check in its own unit."""
    name, _ = aspect_of(check)
    if name in RUN_TIMES:
        return show_seconds(value)
    return show_latency(value) if name in TIME_ASPECTS else show_share(value)


def show_limit(check: Check, glyphs: Glyphs = UNICODE) -> str:
    """The promise of an SLO check: "≥ 99.5%"; its `expected` where it carries no figure."""
    name, _ = aspect_of(check)
    if check.limit is None or name not in (*SHARE_ASPECTS, *TIME_ASPECTS):
        return check.expected
    sign = glyphs.at_most if name in CEILINGS else glyphs.at_least
    return f"{sign} {show_duration(check.limit) if name in TIME_ASPECTS else show_ratio(check.limit)}"


def show_seen(check: Check) -> str:
    """What an SLO check measured; its `seen` where it carries no figure."""
    name, _ = aspect_of(check)
    if name not in (*SHARE_ASPECTS, *TIME_ASPECTS):
        return check.seen
    if check.value is None:
        # "no answer (95%: ...)": the quantile lies among requests that were never answered.
        return check.seen.partition(" (")[0]
    return show_measure(check, check.value)


def show_interval(check: Check, glyphs: Glyphs = UNICODE) -> str:
    """The 95% interval of a measured check, or nothing."""
    if check.low is None and check.high is None:
        return ""
    return f"{show_measure(check, check.low)}{glyphs.to}{show_measure(check, check.high)}"


def variant_words(variant: str) -> str:
    if variant.startswith("sabotage:"):
        return f"sabotage {variant.partition(':')[2]}"
    return "blip twin" if variant == "blip" else variant


def fault_words(kind: str) -> str:
    """A fault kind as people say it: "node-power-loss" -> "node power loss"."""
    return kind.replace("-", " ").replace("_", " ")


_MARKDOWN = re.compile(r"([\\`*_\[\]<>|#])")


def markdown_text(words: object) -> str:
    """Words as Markdown shows them literally, on one line."""
    return _MARKDOWN.sub(r"\\\1", " ".join(str(words).split()))
