"""Who acted, what the cluster said, and where each replica ran: on the page of a run."""

from __future__ import annotations

from tests.judge.test_observed import FAULT_AT, LOST, NAME, WELL, history, places, seen, setting

from tierdrill.history.events import Event, event
from tierdrill.history.kinds.run_kinds import PlatformEvent
from tierdrill.judge.judge import judge
from tierdrill.report.charts import timeline_chart
from tierdrill.report.event_text import describe
from tierdrill.report.run.acts import UNTOLD, acts_of, notices_of
from tierdrill.report.run.html_report import html_report
from tierdrill.report.run_state import story

TAINT = "node.kubernetes.io/unreachable"
SAID = PlatformEvent(
    object="summarizer-1", reason="FailedScheduling", by="default-scheduler", note="<0/3>", warning=True
)


def run_events() -> list[Event]:
    own = seen(1.1, "taint", actor="kube-controller-manager", key=TAINT, own=True, seen=f"{TAINT}:NoExecute")
    made = [event(said, "kubernetes", FAULT_AT + at) for at, said in (*WELL, own, (4.9, SAID))]
    return history(made, setting())


def test_each_act_has_its_actor_and_the_playbook_it_belongs_to() -> None:
    events = run_events()
    acts = acts_of(events, story(events))
    assert [(act.who, act.did, act.on, act.playbook, act.own) for act in acts] == [
        ("the drill", "node power loss", "node-2", "", False),
        ("kube-controller-manager", "tainted", "node-2", "", True),
        ("draino", "cordoned", "node-2", NAME, False),
        (UNTOLD, "evicted", "assistant-1 on node-2", NAME, False),
        (UNTOLD, "evicted", "summarizer-1 on node-2", NAME, False),
        ("experiment", "undid node power loss", "node-2", "", False),
        (UNTOLD, "uncordoned", "node-2", NAME, False),
    ]


def test_what_the_cluster_says_is_told_in_order() -> None:
    assert [(one.object, one.reason) for one in notices_of(run_events())] == [
        ("node-2", "Ready=Unknown"),
        ("summarizer-1", "FailedScheduling"),
    ]


def test_the_page_shows_who_acted_and_escapes_what_others_wrote() -> None:
    events = run_events()
    page = html_report(setting(), events, judge(events))
    assert "Who acted" in page
    assert "2 events of the cluster" in page
    assert "&lt;0/3&gt;" in page


def test_a_replica_that_moved_has_a_lane_of_where_it_ran() -> None:
    told = (places(-10.0, "node-2", "node-3"), LOST, places(4.0, "", "node-3"), places(6.0, "node-1", "node-3"))
    events = history([event(said, "kubernetes", FAULT_AT + at) for at, said in told], setting())
    state = story(events)
    chart = timeline_chart.build(setting(), state, judge(events), {})
    [lanes] = [group.lanes for group in chart.groups if group.title == "Deployment"]
    [lane] = [lane for lane in lanes if lane.name == "assistant-1"]
    assert [rect.css for rect in lane.rects] == ["place ready", "place none", "place ready"]
    assert (lane.result, lane.result_detail) == ("node-2 → node-1", "ready +6.0 s")
    assert not [lane for lane in lanes if lane.name == "summarizer-1"]


def test_the_story_names_who_did_what() -> None:
    lines = [line.text for one in run_events() if (line := describe(one)) and one.source == "kubernetes"]
    assert "draino: cordoned node-2" in lines
    assert "somebody: evicted assistant-1 on node-2: EvictionByEvictionAPI" in lines
    assert "node-2 has Ready=Unknown" in lines
