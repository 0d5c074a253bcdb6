"""What `tiers diff`, `capacity` and `cost` say of a change, of a size and of a price."""

from __future__ import annotations

import csv
import io
import json
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cli.support import ROOT, copied_catalogue, with_runs
from tests.documents.support import changed
from tests.judge.build import Run
from tests.tier_policy.support import Tierdrill
from tierdrill.documents.catalogue_reader import read_files
from tierdrill.documents.models.drill import Drill
from tierdrill.documents.models.environment import Cost
from tierdrill.documents.models.tiers import Approval, Tier, Tiers
from tierdrill.documents.problems import SpecError
from tierdrill.documents.request_rules import RequestFacts
from tierdrill.tier_policy.capacity_plan import Size, capacity_rows, cost_rows, rank_one_short, size_of
from tierdrill.tier_policy.impact import assess
from tierdrill.tier_policy.load_replay import Side, load_of_drill, peak, span_of
from tierdrill.tier_policy.recorded_load import COLUMNS, RecordedLoad, read_load
from tierdrill.tier_policy.tier_changes import WEAKER, tier_changes

FILES = [*sorted((ROOT / "drills/platform").glob("*.yaml")), *(ROOT / f"drills/{name}.yaml" for name in ("node-loss",))]
CATALOGUE = read_files(FILES, ROOT).catalogue
TIERS, MODELS, LAB = CATALOGUE.tiers["serving"], CATALOGUE.workloads["models"], CATALOGUE.environments["lab"]
DRILL: Drill = CATALOGUE.drills["node-loss"]
SIDE = Side(TIERS, MODELS, size_of(LAB), (DRILL,))
TIERS_FILE = ROOT / "drills/platform/tiers.yaml"
CRITICAL = TIERS.by_name("critical")


def with_tier(**update: object) -> Tiers:
    """The shipped tiers, the critical one changed."""
    rest = tuple(tier for tier in TIERS.tiers if tier.name != "critical")
    return TIERS.model_copy(update={"tiers": (CRITICAL.model_copy(update=update), *rest)})


def promising(**update: object) -> Tiers:
    """The shipped tiers, what the critical one promises changed."""
    return with_tier(objectives=CRITICAL.objectives.model_copy(update=update))


def test_nothing_differs_from_itself() -> None:
    impact = assess(SIDE, SIDE, load_of_drill(DRILL, 5.0), LAB)
    assert (impact.changes, impact.moved, impact.lost, impact.unapproved) == ((), (), (), ())
    assert all(pair[0] == pair[1] for one in impact.outlooks for pair in (one.rate, one.wait_p99, one.rejected))


@pytest.mark.parametrize(
    ("tiers", "fields"),
    [
        (promising(availability=0.99), {"objectives.availability"}),
        (promising(availability=0.999), set()),
        (promising(latency={"p50": 0.15, "p99": 0.6}), {"objectives.latency.p99"}),
        (promising(latency={"p50": 0.15}), {"objectives.latency.p99"}),
        (promising(rejections_count=False), {"objectives.rejections_count"}),
        (promising(integrity=None), {"objectives.integrity"}),
        (promising(fallback_at_most=0.1), {"objectives.fallback_at_most"}),
        (with_tier(reserved_slots=1), {"reserved_slots"}),
        (with_tier(reserved_slots=3), set()),
        (with_tier(may_preempt=()), {"may_preempt"}),
        (with_tier(data_residency=("eu", "us")), {"data_residency"}),
        (with_tier(owner="somebody else"), set()),
        (TIERS.model_copy(update={"tiers": TIERS.tiers[1:]}), {""}),
    ],
)
def test_a_promise_of_rank_one_that_gets_weaker_needs_an_approval(tiers: Tiers, fields: set[str]) -> None:
    weaker = {one.field for one in tier_changes(TIERS, tiers) if one.weaker}
    assert weaker == fields
    impact = assess(SIDE, replace(SIDE, tiers=tiers), load_of_drill(DRILL, 1.0), LAB) if len(tiers.tiers) == 3 else None
    assert impact is None or {one.field for one in impact.unapproved} == fields
    names = tuple(field for field in fields if field)
    if names:
        given = Approval(tier="critical", fields=names, by="head", on="2026-01-01", reason="agreed with customers")
        approved = tiers.model_copy(update={"approvals": (given,)})
        assert {one.approved_by for one in tier_changes(TIERS, approved) if one.weaker} == {"head"}
        # What was approved for an earlier change is not approved again.
        old = TIERS.model_copy(update={"approvals": (given,)})
        assert {one.approved_by for one in tier_changes(old, approved) if one.weaker} == {None}


def test_every_field_with_a_direction_is_one_of_a_tier() -> None:
    for field in WEAKER:
        head, _, rest = field.partition(".")
        assert head in Tier.model_fields
        assert not rest or rest.partition(".")[0] in type(CRITICAL.objectives).model_fields


def test_requests_that_change_tier_are_counted_and_drills_that_would_not_pass_are_named() -> None:
    routes = tuple(route for route in MODELS.routes if route.tier != "critical" or route.model != "assistant")
    rerouted = replace(SIDE, workloads=MODELS.model_copy(update={"routes": routes}))
    moved = assess(SIDE, rerouted, load_of_drill(DRILL), LAB)
    assert {(one.before, one.after) for one in moved.moved} == {("critical", "standard")}
    asked = sum(
        stream.rate for stream in DRILL.load.streams if (stream.tier, stream.model) == ("critical", "assistant")
    )
    assert sum(one.requests for one in moved.moved) == pytest.approx(asked * 60, rel=0.1)
    assert [one.drill for one in moved.lost] == ["node-loss"]
    assert "its load for critical (assistant) would be standard" in moved.lost[0].why


def test_a_drill_that_expects_what_is_promised_no_more_is_named() -> None:
    unpromised = promising(time_to_mitigate=None, latency={}, queue_wait={})
    expected = {objective for one in DRILL.expect.tiers if one.tier == "critical" for objective in one.objectives}
    assert expected & {"latency", "queue_wait", "time_to_mitigate"}
    impact = assess(SIDE, replace(SIDE, tiers=unpromised), load_of_drill(DRILL, 1.0), LAB)
    assert "is not promised" in impact.lost[0].why


def test_fewer_replicas_show_as_waits_rejections_and_a_lost_drill() -> None:
    one_each = tuple(model.model_copy(update={"replicas": 1, "slots": 2}) for model in MODELS.models)
    smaller = replace(SIDE, workloads=MODELS.model_copy(update={"models": one_each}))
    impact = assess(SIDE, smaller, load_of_drill(DRILL), LAB)
    flood = next(one for one in impact.outlooks if one.tier == "best-effort")
    assert flood.rejected[0] is not None and flood.rejected[1] is not None
    assert flood.rejected[1] > flood.rejected[0] + 0.1


def test_a_million_recorded_requests_are_replayed_by_kind() -> None:
    """That a million take under ten seconds is the benchmark's to show; here, that the work is by kind."""
    load = RecordedLoad("made")
    facts = [RequestFacts("assistant", "enterprise", 16, 8), RequestFacts("draft", "batch", 16, 8)]
    for number in range(30_000):
        load.add(number / 64, facts[number % 2])
    assert len(load.kinds) == 2
    assert len(peak(load)) == 3840
    assert span_of(load) == pytest.approx(30_000 / 64)


@given(st.lists(st.integers(0, 100), min_size=1, max_size=80))
def test_the_peak_is_the_busiest_stretch(times: list[int]) -> None:
    load = RecordedLoad("made")
    for at in times:
        load.add(at, RequestFacts("assistant"))
    most = max(sum(start <= at < start + 10.0 for at in times) for start in times)
    assert len(peak(load, 10.0)) == most


def test_capacity_counts_what_a_lost_node_takes() -> None:
    size = Size(3, 2, {"assistant": 4, "reasoner": 1, "summarizer": 3, "draft": 3})
    model = MODELS.model("assistant")
    assert model is not None
    assert [size.left(model, lost) for lost in (0, 1, 2, 3)] == [4, 2, 1, 0]
    assert size.slots(model, 1) == 8
    rows = capacity_rows(TIERS, MODELS, size, {("critical", "assistant"): 9.0, ("best-effort", "assistant"): 2.0})
    top = rows[0]
    assert (top.tier, top.slots, top.headroom, top.reserved) == ("critical", (16, 8, 4), (7.0, -1.0, -5.0), 4)
    assert (top.preemption, top.buy) == (2.0, 1)
    assert rank_one_short(rows, TIERS) == {}
    rows = capacity_rows(TIERS, MODELS, size, {("critical", "assistant"): 31.0})
    assert rank_one_short(rows, TIERS) == {"assistant": 23.0}


def test_cost_is_used_and_reserved_parts_of_gpus() -> None:
    priced = LAB.model_copy(update={"cost": Cost(gpu_hour=36.0)})
    rows = {
        row.tier: row for row in cost_rows(TIERS, MODELS, priced, SIDE.size, {("critical", "assistant"): 4.0}, 100.0)
    }
    # Four slots are a replica, which has half of a GPU; a GPU second costs a cent.
    assert rows["critical"].used_gpu_s == pytest.approx(50.0)
    assert rows["critical"].used_cost == pytest.approx(0.5)
    # Two slots in each of two gateways, of two models.
    assert rows["critical"].reserved_gpu_s == pytest.approx(100.0)
    assert rows["best-effort"].reserved_cost == 0.0
    assert cost_rows(TIERS, MODELS, LAB.model_copy(update={"cost": None}), SIDE.size, {}, 1.0)[0].used_cost is None


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("load.jsonl", '{"at": 1, "model": "draft"}\n{"at": "x", "model": "draft"}\n', "load.jsonl:2:1: at: got 'x'"),
        ("load.jsonl", '{"at": 1, "model": "draft"}\n[]\n', "load.jsonl:2:1: got '[]', expected a JSON object"),
        ("load.jsonl", '{"at": 1, "modle": "draft"}\n', "did you mean model?"),
        ("load.jsonl", '{"at": 1, "model": "draft", "held": -1}\n', "held: got -1, expected a number"),
        ("load.jsonl", '{"at": 1, "model": ["draft"]}\n', "load.jsonl:1:1: model: got a list of 1"),
        ("load.jsonl", '{"at": 1, "model": "draft"}\n{"at": 2, "mod\n', "load.jsonl:2:1: got"),
        ("load.jsonl", "", "no requests"),
        ("load.csv", "at,model\n1,draft,7\n", "load.csv:2:1: got 3 values, expected 2"),
        ("load.csv", "at,model,max_tokens\n1,draft,many\n", "load.csv:2:1: max_tokens: got 'many'"),
        ("load.csv", "at,tokens\n1,2\n", "no column 'tokens'"),
        ("load.csv", "model\ndraft\n", "no column at"),
    ],
)
def test_a_broken_recording_is_told_with_its_line(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(SpecError) as error:
        read_load(tmp_path / name)
    assert said in str(error.value)


def test_csv_and_json_lines_say_the_same(tmp_path: Path) -> None:
    rows = [
        {"at": 1.5, "model": "draft", "customer_class": "batch", "prompt_tokens": 16, "max_tokens": 8, "region": "eu"},
        {"at": 2.5, "model": "assistant", "transaction": 12.5, "held": 0.04},
    ]
    (tmp_path / "load.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with (tmp_path / "load.csv").open("w") as out:
        writer = csv.DictWriter(out, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    first, second = read_load(tmp_path / "load.jsonl"), read_load(tmp_path / "load.csv")
    assert (first.at, first.kinds, first.held) == (second.at, second.kinds, second.held)
    assert first.kinds[1] == RequestFacts("assistant", transaction=12.5)


def test_diff_from_the_command_line(tmp_path: Path, tierdrill: Tierdrill) -> None:
    weaker = tmp_path / "tiers.yaml"
    weaker.write_text(TIERS_FILE.read_text().replace("reserved_slots: 2", "reserved_slots: 1"))
    load = tmp_path / "load.jsonl"
    load.write_text(
        "".join(f'{{"at": {n / 20}, "model": "assistant", "customer_class": "enterprise"}}\n' for n in range(99))
    )
    assert tierdrill("tiers", "diff", TIERS_FILE, TIERS_FILE, "--load", load).code == 0
    done = tierdrill("tiers", "diff", TIERS_FILE, weaker, "--load", load)
    assert done.code == 1
    assert "critical reserved_slots: 2 -> 1 (weaker, not approved)" in done.out
    assert "of 99 requests" in done.out
    assert "EUR" in done.out
    told = json.loads(tierdrill("tiers", "diff", TIERS_FILE, weaker, "--load", load, "--json").out)
    assert (told["requests"], len(told["unapproved"])) == (99, 1)
    load.write_text("nonsense")
    assert tierdrill("tiers", "diff", TIERS_FILE, weaker, "--load", load).code == 2


def test_capacity_and_cost_from_the_command_line(tmp_path: Path, tierdrill: Tierdrill) -> None:
    assert tierdrill("tiers", "capacity").code == 0
    small = tmp_path / "inventory.json"
    small.write_text('{"nodes": 1, "replicas": {"assistant": 1, "draft": 1}}')
    done = tierdrill("tiers", "capacity", "--inventory", small)
    assert done.code == 1
    assert "critical lacks" in done.out
    assert {line.split()[-1] for line in done.out.splitlines() if line.startswith("assistant")} == {"nodes"}
    small.write_text('{"nodes": 3, "replicas": {"assistant": 1, "summarizer": 3}}')
    eased = tierdrill("tiers", "capacity", "--inventory", small)
    assert (eased.code, "for which its fallback model" in eased.out) == (0, True)
    small.write_text('{"nodes": "many"}')
    assert tierdrill("tiers", "capacity", "--inventory", small).code == 2
    rows = list(csv.DictReader(io.StringIO(tierdrill("tiers", "cost", "--csv").out)))
    assert [row["tier"] for row in rows] == ["critical", "standard", "best-effort"]
    assert {row["currency"] for row in rows} == {"EUR"}


def test_a_run_is_replayed(tmp_path: Path, tierdrill: Tierdrill) -> None:
    with_runs(tmp_path / "home", one=Run())
    told = json.loads(tierdrill("tiers", "cost", "--run", "one", "--json").out)
    assert told["load"] == "run one"
    assert told["tiers"][0]["used_gpu_s"] > 0
    assert told["seconds"] < time.time()


class _Answers(BaseHTTPRequestHandler):
    """A Prometheus that says how many slots were busy."""

    def do_GET(self) -> None:
        result = [
            {"metric": {"tier": tier}, "value": [0, slots]} for tier, slots in (("critical", "4"), ("standard", "1"))
        ]
        body = json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *args: object) -> None:
        pass


def test_what_was_used_lately_is_asked_of_prometheus(tmp_path: Path, tierdrill: Tierdrill) -> None:
    root = copied_catalogue(tmp_path / "mine")
    done = tierdrill("--catalogue", root, "tiers", "cost", "--last", "1h")
    assert (done.code, "no Prometheus of environment lab is known" in done.err) == (2, True)
    with HTTPServer(("127.0.0.1", 0), _Answers) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        gates = f"gates: {{prometheus: 'http://127.0.0.1:{server.server_port}'}}\nidle_floor"
        changed(root, "drills/platform/lab.yaml", ("idle_floor", gates))
        told = json.loads(tierdrill("--catalogue", root, "tiers", "cost", "--last", "1h", "--json").out)
        server.shutdown()
    used = {row["tier"]: row["used_gpu_s"] for row in told["tiers"]}
    # Four slots are a replica with half of a GPU, for an hour.
    assert used == pytest.approx({"critical": 1800.0, "standard": 450.0, "best-effort": 0.0})
    assert "--last is of now" in tierdrill("tiers", "cost", "--last", "1h", "--run", "x").err
    assert "expected a duration" in tierdrill("tiers", "cost", "--last", "soon").err
