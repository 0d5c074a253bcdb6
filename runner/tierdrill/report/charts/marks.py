"""The shapes a timeline is made of. Horizontal places are percent of the plot's width, vertical ones pixels."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tierdrill.judge.verdict import Status
from tierdrill.report.charts.axis import Scale


@dataclass(frozen=True, slots=True)
class Rect:
    """A bar or band. Without `height` it is as high as its lane."""

    x: float
    width: float
    css: str
    text: str = ""
    title: str = ""
    y: float = 0.0
    height: float | None = None


@dataclass(frozen=True, slots=True)
class Path:
    """A path in a box 1000 wide and as high as the lane, stretched to the plot's width."""

    d: str
    css: str


@dataclass(frozen=True, slots=True)
class Guide:
    """A horizontal line over the whole plot, with its value: an objective."""

    y: float
    css: str
    label: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A small sign at a moment: dot, diamond, triangle, flag or cross."""

    x: float
    y: float
    shape: str
    css: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class Note:
    """Words at a place in a lane; `anchor` is SVG's text-anchor."""

    x: float
    y: float
    text: str
    css: str = ""
    anchor: str = "start"


CHARACTER = 0.85
"""How wide a character of a note is, in percent of the plot on a page as wide as the report's."""


def joined(notes: Sequence[Note]) -> tuple[Note, ...]:
    """Notes of one lane of which none is written over another, nor over what another tells of: those that would be are
    one note, which begins beside the last of them.
    """
    kept: list[Note] = []
    for note in sorted(notes, key=lambda one: one.x):
        before = kept[-1] if kept else None
        if before is not None and before.anchor == note.anchor and _begin(note) < _begin(before) + _width(before):
            words = " · ".join(dict.fromkeys(part for part in (before.text, note.text) if part))
            css = "bad" if "bad" in (before.css, note.css) else before.css
            kept[-1] = replace(before, text=words, css=css, x=note.x)
        else:
            kept.append(note)
    return tuple(kept)


def _width(note: Note) -> float:
    return CHARACTER * (len(note.text) + 1)


def _begin(note: Note) -> float:
    return note.x - _width(note) if note.anchor == "end" else note.x


@dataclass(frozen=True, slots=True)
class Tick:
    x: float
    label: str


@dataclass(frozen=True)
class Lane:
    """One row: what it is on the left, its plot, what came of it on the right."""

    name: str
    height: int
    detail: str = ""
    plot: bool = False
    rects: tuple[Rect, ...] = ()
    paths: tuple[Path, ...] = ()
    guides: tuple[Guide, ...] = ()
    marks: tuple[Mark, ...] = ()
    notes: tuple[Note, ...] = ()
    scale: tuple[tuple[float, str], ...] = ()
    result: str = ""
    result_detail: str = ""
    status: Status | None = None


@dataclass(frozen=True)
class Group:
    """Lanes under one heading."""

    title: str
    lanes: tuple[Lane, ...]
    detail: str = ""
    result: str = ""
    status: Status | None = None


@dataclass(frozen=True)
class Timeline:
    ticks: tuple[Tick, ...]
    phases: tuple[Rect, ...]
    faults: tuple[Rect, ...]
    groups: tuple[Group, ...]
    zero_is_effect: bool


@dataclass(frozen=True)
class Ruler:
    """From moments (Unix seconds) to places on the shared axis; offsets count from `zero`."""

    scale: Scale
    zero: float

    def place(self, at: float) -> float:
        return round(self.scale.place(at) * 100, 3)

    def width(self, begin: float, end: float) -> float:
        return round(max(0.0, self.scale.place(end) - self.scale.place(begin)) * 100, 3)

    def bar(self, begin: float, end: float, css: str, **more: str | float | None) -> Rect:
        return Rect(self.place(begin), self.width(begin, end), css, **more)  # type: ignore[arg-type]

    def gaps(self, seen: Sequence[tuple[float, float]], until: float) -> tuple[Rect, ...]:
        """Bands over stretches of more than a second without data, up to `until`; `seen` ascends."""
        bands, cursor = [], self.scale.low
        for begin, end in (*seen, (until, until)):
            if begin - cursor > 1.0 and begin > self.scale.low:
                bands.append(self.bar(cursor, begin, "nodata", title="no requests were due here"))
            cursor = max(cursor, end)
        return tuple(bands)
