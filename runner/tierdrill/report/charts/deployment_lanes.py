"""The timeline's lanes of what befell the deployment: its faults, its nodes, and the replicas that were moved."""

from collections import defaultdict
from collections.abc import Sequence

from tierdrill.history.projection import FaultSpan
from tierdrill.judge.verdict import WORST_FIRST, Check, Status, Verdict
from tierdrill.report.charts.marks import Group, Lane, Mark, Note, Rect, Ruler, joined
from tierdrill.report.format import fault_words, show_offset, show_seconds
from tierdrill.report.run_model import MoveView, NodeMark, RunState
from tierdrill.text import plural

BAR_HEIGHT = 24
REPLICAS_SHOWN = 12
"""So many replicas that were moved have a lane of their own."""

SIGN_WIDTH = 1.5
"""Of a mark, in percent of the plot."""


def checks_of(verdict: Verdict, prefix: str) -> list[Check]:
    return [check for check in verdict.checks if check.id.startswith(prefix)]


def fault_checks(verdict: Verdict, fault: FaultSpan) -> list[Check]:
    """The checks about a fault; they are named by its kind."""
    return checks_of(verdict, f"fault/{fault.id}/") or checks_of(verdict, f"fault/{fault.kind}/")


def worst(checks: Sequence[Check]) -> Status | None:
    """The status that decides among these checks."""
    return next((status for status in WORST_FIRST if any(check.status is status for check in checks)), None)


def fault_group(ruler: Ruler, state: RunState, verdict: Verdict) -> Group:
    """Each fault: intended, in effect as seen, being undone, gone as seen."""
    return Group(
        "Fault",
        tuple(_fault_lane(ruler, fault, state, worst(fault_checks(verdict, fault))) for fault in state.faults.values()),
    )


def _fault_lane(ruler: Ruler, fault: FaultSpan, state: RunState, judged: Status | None) -> Lane:
    end = fault.gone_at or state.ended or state.now
    rects: list[Rect] = []
    marks: list[Mark] = []
    notes: list[Note] = []
    if fault.intended_at is not None:
        rects.append(
            ruler.bar(
                fault.intended_at,
                fault.effective_at or end,
                "intended",
                y=10.0,
                height=4.0,
                title="intent on the ledger",
            )
        )
    if fault.effective_at is not None:
        title = f"in effect {show_offset(fault.effective_at - ruler.zero)} to {show_offset(end - ruler.zero)}"
        rects.append(ruler.bar(fault.effective_at, end, "fault", y=4.0, height=16.0, title=title))
        place = ruler.place(fault.effective_at)
        notes.append(Note(place + 0.6, 16, f"{fault_words(fault.kind)}: {fault.target}", "onfault"))
    if fault.reverting_at is not None and fault.gone_at is not None:
        rects.append(
            ruler.bar(fault.reverting_at, fault.gone_at, "reverting", y=4.0, height=16.0, title="being undone")
        )
    if fault.trouble and fault.effective_at is None:
        notes.append(Note(ruler.place(fault.intended_at or ruler.zero), 16, fault.trouble, "bad"))
    if fault.gone_at is not None:
        marks.append(Mark(ruler.place(fault.gone_at), 12, "flag", "good", f"seen gone by {fault.gone_by}"))
    landed = fault.effective_at is not None
    result = "landed" if landed else fault.status
    if landed and fault.gone_at is not None:
        result = f"seen for {show_seconds(fault.gone_at - (fault.effective_at or 0))}"
    proven = Status.PASSED if landed and fault.gone_at is not None else Status.INCONCLUSIVE
    witnesses = " and ".join(sorted({name for name in (fault.landed_by, fault.gone_by) if name}))
    return Lane(
        name=fault_words(fault.kind) or fault.id,
        detail=fault.target,
        height=BAR_HEIGHT,
        rects=tuple(rects),
        marks=tuple(marks),
        notes=tuple(notes),
        result=result,
        result_detail=f"witness: {witnesses}" if witnesses else "",
        status=judged or proven,
    )


def deployment_group(ruler: Ruler, state: RunState) -> Group:
    """The nodes that changed condition, and when replicas were moved."""
    by_node: dict[str, list[NodeMark]] = defaultdict(list)
    for mark in state.nodes:
        by_node[mark.node].append(mark)
    end = state.ended or state.now
    lanes = [_node_lane(ruler, node, marks, end) for node, marks in sorted(by_node.items()) if len(marks) > 1]
    calm = sorted(node for node, marks in by_node.items() if len(marks) == 1 and marks[0].condition == "ready")
    moved = list(dict.fromkeys(move.replica for move in state.moves))
    if len(moved) > REPLICAS_SHOWN:
        lanes.append(_moves_lane(ruler, state))
    lanes += [_replica_lane(ruler, state, name) for name in moved[:REPLICAS_SHOWN]]
    result = f"{', '.join(calm)} ready throughout" if calm else ""
    return Group("Deployment", tuple(lanes), detail="as the control plane saw it", result=result)


def _node_lane(ruler: Ruler, node: str, marks: Sequence[NodeMark], end: float) -> Lane:
    ends = [mark.at for mark in marks[1:]] + [end]
    rects, notes, away = [], [], 0.0
    for mark, until in zip(marks, ends, strict=True):
        css = mark.condition.replace(" ", "-")
        rects.append(ruler.bar(mark.at, until, f"node {css}", y=6.0, height=12.0, title=f"{node} {mark.condition}"))
        if mark.condition != "ready" and ruler.width(mark.at, until) > 6:
            notes.append(Note(ruler.place(mark.at) + 0.6, 16, mark.condition, "onbar"))
        away += until - mark.at if mark.condition == "not ready" else 0.0
    last = marks[-1].condition
    return Lane(
        name=node,
        height=BAR_HEIGHT,
        rects=tuple(rects),
        notes=tuple(notes),
        result=f"not ready for {show_seconds(away)}" if away else "",
        result_detail="ready again" if last == "ready" else f"{last} at the end",
        status=None if last == "ready" else Status.FAILED,
    )


def _replica_lane(ruler: Ruler, state: RunState, name: str) -> Lane:
    """Where a replica ran: a bar for each place, which is pale while it is not ready there."""
    marks = [mark for mark in state.places if mark.replica == name]
    ends = [mark.at for mark in marks[1:]] + [state.ended or state.now]
    rects, notes = [], []
    for number, (mark, until) in enumerate(zip(marks, ends, strict=True)):
        here = mark.node or "no place"
        css = f"place {'ready' if mark.ready else 'waiting'}" if mark.node else "place none"
        title = f"{name} {f'on {here}' if mark.node else here}{'' if mark.ready or not mark.node else ', not ready'}"
        rects.append(ruler.bar(mark.at, until, css, y=6.0, height=12.0, title=title))
        if number == 0 or marks[number - 1].node != mark.node:
            notes.append(Note(ruler.place(mark.at) + 0.6, 16, here))
    moves = [move for move in state.moves if move.replica == name]
    back = next((mark.at for mark in marks if mark.at >= moves[-1].at and mark.ready), None)
    detail = f"ready {show_offset(back - ruler.zero)}" if back is not None else "not ready since"
    return Lane(
        name=name,
        detail=moves[-1].tier,
        height=BAR_HEIGHT,
        rects=tuple(rects),
        notes=joined(notes),
        result=f"{moves[0].origin or 'no place'} → {moves[-1].to or 'no place'}",
        result_detail=detail,
    )


def _moves_lane(ruler: Ruler, state: RunState) -> Lane:
    marks, notes = [], []
    for together in _at_once(sorted(state.moves, key=lambda move: move.at), ruler):
        at = together[0].at
        lost = sum(not move.to for move in together)
        words = f"{len(together) - lost} moved" if len(together) > lost else ""
        words += f"{', ' if words else ''}{lost} without room" if lost else ""
        notes.append(Note(ruler.place(at) + 1.0, 16, words))
        title = "; ".join(
            f"{show_offset(move.at - ruler.zero)}: {move.replica} ({move.tier}) "
            f"from {move.origin or 'no place'} to {move.to or 'no place'}"
            for move in together
        )
        marks.append(Mark(ruler.place(at), 12, "diamond", "bad" if lost else "plain", title))
    moved = plural(len({move.replica for move in state.moves}), "replica")
    return Lane("replicas moved", BAR_HEIGHT, marks=tuple(marks), notes=joined(notes), result=f"{moved} moved")


def _at_once(moves: Sequence[MoveView], ruler: Ruler) -> list[list[MoveView]]:
    """Moves that are one event to the eye: closer together than their signs are wide."""
    together: list[list[MoveView]] = []
    for move in moves:
        if together and ruler.width(together[-1][0].at, move.at) < SIGN_WIDTH:
            together[-1].append(move)
        else:
            together.append([move])
    return together
