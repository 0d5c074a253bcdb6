"""Checks that need more than one changed document: alerts, links, GPUs, recordings, foreign faults, blast radius."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.documents.support import (
    DRILL,
    ENVIRONMENT,
    EXPERIMENT,
    PLAYBOOK,
    SCENARIO,
    TIERS,
    WORKLOADS,
    changed,
    good_catalogue,
    lines,
)
from tierdrill.did_you_mean import nearest
from tierdrill.documents.catalogue import Catalogue
from tierdrill.documents.catalogue_reader import load_catalogue, load_documents
from tierdrill.documents.problems import Problem, SpecError, in_order, shown
from tierdrill.faults.known_kinds import KINDS
from tierdrill.text import listed

ALERTS = {"NodeNotReady": {"node", "severity"}, "ReplicaNotReady": {"pod", "node", "severity"}}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return good_catalogue(tmp_path)


def test_known_alerts_are_enough_for_the_good_catalogue(root: Path) -> None:
    assert lines(root, ALERTS) == []
    assert load_catalogue(root, lambda catalogue: ALERTS if catalogue.tiers else {})[1] == []


def test_an_alert_that_no_rule_gives(root: Path) -> None:
    changed(root, DRILL, ("{alert: NodeNotReady,", "{alert: NodeNotRaedy,"))
    found = lines(root, ALERTS)
    known = "expected NodeNotReady or ReplicaNotReady (did you mean NodeNotReady?)"
    assert f"{DRILL}:21:17: no alert named 'NodeNotRaedy', {known}" in found


def test_a_label_that_the_alert_does_not_carry(root: Path) -> None:
    changed(root, DRILL, ("labels: {node: node-2}", "labels: {nodes: node-2}"))
    changed(root, PLAYBOOK, ("target: ${labels.node}", "target: ${labels.host}"))
    found = "\n".join(lines(root, ALERTS))
    assert "alert NodeNotReady has no label 'nodes'; its labels: node and severity (did you mean node?)" in found
    assert "${labels.host} is not defined; known: alert, labels.alertname, labels.node and labels.severity" in found


def link_drill(root: Path, source: str, destination: str, links: int = 2) -> None:
    """The good drill with a slow link instead of a lost node."""
    experiment = {
        "title": "A link becomes slow",
        "description": "Packets take longer.",
        "configuration": {"source": "gateway-a", "destination": "node-1", "fault_seconds": 20},
        "runtime": {"rollbacks": {"strategy": "always"}},
        "method": [
            {
                **_call("action", "slow", "delay_link", source="${source}", destination="${destination}", delay_ms=400),
                "pauses": {"after": "${fault_seconds}"},
            }
        ],
        "rollbacks": [_call("action", "heal", "heal_link", source="${destination}", destination="${source}")],
    }
    (root / "experiments" / "slow-link.json").write_text(json.dumps(experiment), encoding="utf-8")
    variables = f'variables: {{source: "{source}", destination: "{destination}", node: node-2}}'
    changed(
        root, DRILL, ("experiment: node/power-loss", "experiment: slow-link"), ("variables: {node: node-2}", variables),
        ("target: node-2", 'target: "${node}"'),
    )  # fmt: skip
    changed(root, ENVIRONMENT, ("links: 2", f"links: {links}"))


def _call(kind: str, name: str, func: str, **arguments: object) -> dict[str, object]:
    provider = {"type": "python", "module": "tierdrill.chaos.actions", "func": func, "arguments": arguments}
    return {"type": kind, "name": name, "provider": provider}


def test_a_link_is_healed_whichever_end_is_named_first(root: Path) -> None:
    link_drill(root, "gateway-a", "node-2")
    assert lines(root) == []


def test_a_link_to_a_host_that_there_is_not(root: Path) -> None:
    link_drill(root, "gateway-c", "node-2")
    assert [line.split(": ", 1)[1] for line in lines(root)] == [
        "no host named 'gateway-c', expected controller, gateway-a, gateway-b, node-1, node-2, node-3 or prometheus"
        " (did you mean gateway-b?)"
    ]


def test_all_links_of_a_node_count_against_the_blast_radius(root: Path) -> None:
    link_drill(root, "*", "node-2")
    assert "4 links at a time" in lines(root)[0]
    assert "allows 2 (blast_radius.links)" in lines(root)[0]


def test_a_wide_blast_radius_that_was_reviewed(root: Path) -> None:
    link_drill(root, "*", "node-2", links=4)
    assert lines(root) == []


def test_a_link_to_a_protected_host(root: Path) -> None:
    link_drill(root, "gateway-a", "prometheus")
    changed(root, ENVIRONMENT, ("protected: [gateway-a, gateway-b]", "protected: [prom*]"))
    assert "link-latency of gateway-a>prometheus; environment lab protects prom*" in lines(root)[0]


def router_drill(root: Path, gateway: str) -> None:
    """The good drill with a router that fails closed instead of a lost node."""
    experiment = (root / EXPERIMENT).read_text(encoding="utf-8")
    text = experiment.replace("power_off_node", "lose_picker").replace("power_on_node", "return_picker")
    text = text.replace('{node: "${node}"', '{gateway: "${node}"')
    (root / EXPERIMENT).write_text(text, encoding="utf-8")
    changed(root, DRILL, ("variables: {node: node-2}", f"variables: {{node: {gateway}}}"))


def of_the_drill(root: Path) -> list[str]:
    """Problems of the drill itself, not of the calendar that names it."""
    return [line for line in lines(root) if line.startswith(DRILL)]


def test_a_gateway_is_a_target_and_counts_against_the_blast_radius(root: Path) -> None:
    changed(root, ENVIRONMENT, ("protected: [gateway-a, gateway-b]", "protected: []"))
    router_drill(root, "gateway-b")
    assert of_the_drill(root) == []
    changed(root, ENVIRONMENT, ("links: 2", "links: 2, gateways: 0"))
    assert "1 gateway at a time (gateway-b)" in of_the_drill(root)[0]
    assert "allows 0 (blast_radius.gateways)" in of_the_drill(root)[0]


def test_a_gateway_that_is_protected_or_is_not_there(root: Path) -> None:
    router_drill(root, "gateway-b")
    assert "router-fail-closed of gateway-b; environment lab protects gateway-b" in of_the_drill(root)[0]
    changed(root, DRILL, ("variables: {node: gateway-b}", "variables: {node: gateway-c}"))
    assert "no gateway named 'gateway-c', expected gateway-a or gateway-b" in of_the_drill(root)[0]


WRONG_ARGUMENTS = [
    ("dns-wrong-answer", {"replica": "assistant-0", "leads_to": "draft-9"}, "no replica named 'draft-9'"),
    ("engine-lost", {"step": "drane"}, "no remedy named 'drane'"),
    ("model-drift", {"tier": "critical", "model": "assistent"}, "no model named 'assistent'"),
    ("model-store-corrupt", {"store": "state-store", "model": "assistant"}, "no store named 'state-store'"),
    ("state-quorum-lost", {"store": "state-store-1"}, "no store named 'state-store-1', expected state-store"),
    ("state-member-lost", {"store": "store-a"}, "no store named 'store-a', expected state-store-1,"),
    ("priority-swap", {"tier": "critical", "of_tier": "gold"}, "no tier named 'gold'"),
    ("dns-failure", {"gateway": "gateway-a", "silent": 2}, "dns-failure: got silent=2, expected 0 to 1"),
    ("link-latency", {"source": "x>*", "destination": "node-1", "delay_ms": 9}, "no host named 'x>*'"),
    ("prometheus-lost", {}, ""),
]


def with_store(root: Path) -> None:
    changed(root, ENVIRONMENT, ("gpus_per_node: 2}", "gpus_per_node: 2, state_store: true}"))
    changed(root, ENVIRONMENT, ("protected: [gateway-a, gateway-b]", "protected: []"))


@pytest.mark.parametrize(("kind", "arguments", "told"), WRONG_ARGUMENTS)
def test_what_an_inject_names_is_there_and_its_numbers_fit(
    root: Path, kind: str, arguments: dict[str, object], told: str
) -> None:
    with_store(root)
    former = "link-latency, parameters: {source: gateway-a, destination: node-3, delay_ms: 300}"
    changed(root, SCENARIO, (former, f"{kind}, parameters: {json.dumps(arguments)}"))
    found = lines(root)
    assert all(line.startswith(f"{SCENARIO}:38:") for line in found)
    assert [told in line for line in found] == ([True] if told else [])


@pytest.mark.parametrize(("kind", "arguments", "told"), WRONG_ARGUMENTS)
def test_what_a_drill_breaks_is_there_and_its_numbers_fit(
    root: Path, kind: str, arguments: dict[str, object], told: str
) -> None:
    with_store(root)
    fault = KINDS[kind]
    given: dict[str, object] = {name: f"${{{name}}}" for name in arguments}
    undone = {name: given[name] for name in fault.identity if name in given}
    experiment = {
        "title": "A fault",
        "description": "Something breaks.",
        "configuration": {**arguments, "fault_seconds": 20},
        "runtime": {"rollbacks": {"strategy": "always"}},
        "method": [{**_call("action", "break", fault.action, **given), "pauses": {"after": "${fault_seconds}"}}],
        "rollbacks": [_call("action", "mend", fault.undo, **undone)],
    }
    (root / EXPERIMENT).with_name("other.json").write_text(json.dumps(experiment), encoding="utf-8")
    variables = json.dumps({**arguments, "node": "node-2"})
    changed(
        root, DRILL, ("experiment: node/power-loss", "experiment: node/other"), ("target: node-2", 'target: "${node}"'),
        ("variables: {node: node-2}", f"variables: {variables}"),
    )  # fmt: skip
    found = of_the_drill(root)
    assert all(line.startswith(f"{DRILL}:7:") for line in found)
    assert [told in line for line in found] == ([True] if told else [])


def test_an_inject_of_no_known_fault_is_told(root: Path) -> None:
    changed(root, SCENARIO, ("fault: link-latency", "fault: link-latencies"))
    (found,) = lines(root)
    assert "no fault named 'link-latencies'" in found and "did you mean link-latency?" in found


def test_a_store_that_a_lab_has_not(root: Path) -> None:
    former = "link-latency, parameters: {source: gateway-a, destination: node-3, delay_ms: 300}"
    changed(root, SCENARIO, (former, "state-member-lost, parameters: {store: state-store-1}"))
    (found,) = lines(root)
    assert "no store named 'state-store-1'; there is none" in found


def test_a_surge_is_of_a_stream_that_the_load_has_and_touches_nothing(root: Path) -> None:
    actions = (("power_off_node", "begin_load_surge"), ("power_on_node", "end_load_surge"))
    changed(
        root,
        EXPERIMENT,
        *actions,
        ('{node: "${node}"', '{stream: "${node}"'),
        ('{node: "${node}"', '{stream: "${node}"'),
    )
    assert "no stream named 'node-2', expected chat, drafts or summaries" in of_the_drill(root)[0]
    changed(root, DRILL, ("variables: {node: node-2}", "variables: {node: drafts}"))
    changed(root, ENVIRONMENT, ("nodes: 1", "nodes: 0"))
    assert of_the_drill(root) == []


def test_faults_one_after_the_other_are_not_at_a_time(root: Path) -> None:
    def on(node: str) -> str:
        return (
            "\n  - {type: action, name: NAME, provider: {type: python, module: tierdrill.chaos.actions, func: FUNC, "
            f"arguments: {{node: {node}}}}}, pauses: {{after: 5}}}}"
        )

    together = on("node-1").replace("NAME", "off-1").replace("FUNC", "power_off_node")
    after = on('"${node}"').replace("NAME", "on").replace("FUNC", "power_on_node") + together
    undo = on("node-1").replace("NAME", "on-1").replace("FUNC", "power_on_node")
    changed(root, EXPERIMENT, ("\nrollbacks:", f"{together}\nrollbacks:{undo}"))
    assert any("2 nodes at a time (node-1 and node-2)" in line for line in lines(root))
    changed(root, EXPERIMENT, (together, after))
    assert lines(root) == []


def test_a_gpu_that_the_node_does_not_have(root: Path) -> None:
    experiment = (root / EXPERIMENT).read_text(encoding="utf-8")
    text = experiment.replace("power_off_node", "drop_gpu_off_bus").replace("power_on_node", "restore_gpu")
    text = text.replace('{node: "${node}"', '{node: "${node}", gpu: 2')
    (root / EXPERIMENT).write_text(text, encoding="utf-8")
    assert any("no GPU named 'node-2/2'" in line for line in lines(root))
    (root / EXPERIMENT).write_text(text.replace(", gpu: 2", ""), encoding="utf-8")
    assert lines(root) == []


def test_a_foreign_fault_needs_rollbacks_or_a_proof(root: Path) -> None:
    foreign = """title: Somebody else's fault
description: A pod is deleted; its controller makes a new one.
configuration: {node: node-1}
runtime: {rollbacks: {strategy: always}}
method:
  - {type: action, name: kill-pod, provider: {type: python, module: chaosk8s.pod.actions, func: terminate_pods}}
  - {type: probe, name: pods-ready, tolerance: [1, 3], provider: {type: http, url: "http://127.0.0.1:1/"}}
"""
    (root / EXPERIMENT).write_text(foreign, encoding="utf-8")
    assert "action 'kill-pod' has no rollback" in "\n".join(lines(root))
    proof = "\nproofs: [{activity: kill-pod, landed: pods-ready, gone: pods-ready}]"
    changed(root, DRILL, ("blip: {fault: 1s}", "blip: {fault: 1s}" + proof))
    assert lines(root) == []
    changed(root, DRILL, ("landed: pods-ready", "landed: pod-ready"))
    said = "no probe in node/power-loss named 'pod-ready', expected pods-ready (did you mean pods-ready?)"
    assert said in lines(root)[0]


def test_a_second_drill_without_the_proof_keeps_the_problem(root: Path) -> None:
    test_a_foreign_fault_needs_rollbacks_or_a_proof(root)
    text = (root / DRILL).read_text(encoding="utf-8").replace("name: node-loss,", "name: other,")
    start = text.index("proofs:")
    (root / "drills" / "other.yaml").write_text(text[:start] + text[text.index("\n", start) + 1 :], encoding="utf-8")
    assert any("action 'kill-pod' has no rollback" in line for line in lines(root))


def test_a_recording_is_counted(root: Path) -> None:
    replay = "rate: 20/s, shape: {kind: replay, file: monday.jsonl}"
    changed(root, DRILL, ("rate: 20/s, streaming: 50%", replay))
    recording = root / "drills" / "monday.jsonl"
    recording.write_text(
        "".join(f'{{"at": {100 + n / 10}, "tier": "critical"}}\n' for n in range(600)), encoding="utf-8"
    )
    assert lines(root) == []
    recording.write_text("".join(f'{{"at": {n / 5}, "stream": "chat"}}\n' for n in range(300)), encoding="utf-8")
    assert "it takes 381 requests without a failure, there will be about 200" in "\n".join(lines(root))
    # Lines of a tier go to its first stream of the recording, and to no other; their order is of no matter.
    arrivals = [f'{{"at": {100 + n / 5}, "tier": "critical"}}\n' for n in range(300)]
    recording.write_text("".join(reversed(arrivals)), encoding="utf-8")
    second = "    - {name: more, tier: critical, model: assistant, customer_class: paying, " + replay + "}\n"
    changed(root, DRILL, ("    - {name: summaries", second + "    - {name: summaries"))
    assert "it takes 381 requests without a failure, there will be about 200" in "\n".join(lines(root))
    recording.write_text('{"at": 1, "tier": "critical"}\n{"at": "soon"}\n', encoding="utf-8")
    assert "line 2 of monday.jsonl is no arrival" in lines(root)[0]
    for odd in ('{"at": NaN, "tier": "critical"}', '{"at": 2}'):
        recording.write_text('{"at": 1, "tier": "critical"}\n' + odd, encoding="utf-8")
        assert "line 2 of monday.jsonl is no arrival" in lines(root)[0], odd
    with recording.open("ab") as file:
        file.truncate(60_000_000)
    assert "monday.jsonl with more than 50000000 bytes" in lines(root)[0]
    changed(root, DRILL, (replay, f"{replay}, streaming: 50%"))
    assert "streaming 50% of a replayed stream" in "\n".join(lines(root))


def test_shapes_are_integrated_over_the_judged_phases(root: Path) -> None:
    # 5/s prove nothing in 40 s; tripled for the whole fault phase they come to 400, ramped up to triple to 500.
    changed(root, DRILL, ("customer_class: paying, rate: 20/s", "customer_class: paying, rate: 5/s"))
    changed(root, DRILL, ("streaming: 50%}", "streaming: 50%, shape: {kind: spike, factor: 3, at: 20s, lasts: 20s}}"))
    assert "there will be about 400 (in 99 of 100 runs at least 353)" in "\n".join(lines(root))
    changed(root, DRILL, ("kind: spike, factor: 3", "kind: ramp, factor: 3"))
    assert lines(root) == []
    changed(root, DRILL, ("kind: ramp, factor: 3, at: 20s, lasts: 20s", "kind: step, factor: 0.5, at: 20s"))
    assert "there will be about 100 " in "\n".join(lines(root))


def test_streaming_requests_are_counted_by_themselves(root: Path) -> None:
    changed(root, TIERS, ("      latency: {p99: 500ms}", "      time_to_first_token: {p95: 300ms, p99: 400ms}"))
    changed(root, DRILL, ("streaming: 50%", "streaming: 20%"))
    assert [line.split("; ")[0].split(": ", 1)[1] for line in lines(root)] == [
        "too little load to prove critical time to first token p99 in fault+recovery: it takes 368 streaming requests "
        "without a failure, there will be about 160 (in 99 of 100 runs at least 130)"
    ]


def test_a_document_with_its_own_problems_is_not_missing(root: Path) -> None:
    changed(root, TIERS, ("rank: 1", "rank: zero"))
    changed(root, PLAYBOOK, ("kind: Playbook", "kind: Playbok"))
    (root / ENVIRONMENT).write_text((root / ENVIRONMENT).read_text(encoding="utf-8") + "\t", encoding="utf-8")
    found = lines(root)
    assert [line.split(":")[0] for line in found] == [ENVIRONMENT, TIERS, PLAYBOOK]


def test_every_problem_of_every_file_at_once(root: Path) -> None:
    changed(root, TIERS, ("rank: 1", "rank: one"), ("availability: 95%", "availability: 0.95"))
    changed(root, WORKLOADS, ("slots: 8", "slot: 8"), ("risk: low", "risk: none"))
    changed(root, EXPERIMENT, ("strategy: always", "strategy: never"), ("title: A node loses power\n", ""))
    assert [line.split(":")[0] for line in lines(root)] == [TIERS] * 2 + [WORKLOADS] * 2 + [EXPERIMENT] * 2


def test_two_environments_of_different_tiers(root: Path) -> None:
    text = (root / TIERS).read_text(encoding="utf-8").replace("name: default", "name: lean")
    changed(root, ENVIRONMENT, ("tiers: default", "tiers: lean"))
    (root / "drills" / "lean.yaml").write_text(text, encoding="utf-8")
    assert [line.split(": ", 1)[1] for line in lines(root)] == [
        "workloads default are for tiers default; this environment has tiers lean"
    ]


def test_files_are_read_one_by_one_too(root: Path) -> None:
    paths = sorted(root.rglob("*.yaml"))
    catalogue, problems = load_documents(paths, root)
    assert problems == []
    assert list(catalogue.experiments) == ["node/power-loss"]
    _, problems = load_documents([root / PLAYBOOK, root / "nothing.yaml"], root)
    assert [problem.path for problem in problems] == ["nothing.yaml"]


def test_a_folder_without_documents(tmp_path: Path) -> None:
    catalogue, problems = load_catalogue(tmp_path)
    assert isinstance(catalogue, Catalogue)
    assert "a catalogue has folders drills, experiments and playbooks" in str(problems[0])


def test_other_files_and_hidden_ones_are_left_alone(root: Path) -> None:
    (root / "drills" / "schema").mkdir()
    (root / "drills" / "schema" / "drill.json").write_text("{}", encoding="utf-8")
    (root / "drills" / ".hidden.yaml").write_text("\t", encoding="utf-8")
    (root / "drills" / "notes.txt").write_text("\t", encoding="utf-8")
    assert lines(root) == []


def test_a_problem_is_one_line_whatever_it_quotes() -> None:
    problem = Problem("a.yaml", 1, 2, "got 'a\nb\x1b[31m'", "text", "c\rd")
    assert str(problem) == "a.yaml:1:2: got 'a\\x0ab\\x1b[31m'; text (did you mean c\\x0dd?)"


def test_problems_are_sorted_and_told_once() -> None:
    first, second = Problem("a", 2, 1, "x", "y"), Problem("a", 10, 1, "x", "y")
    assert in_order([second, first, second]) == [first, second]
    assert SpecError([second, first]).problems == [first, second]
    assert str(SpecError([first])) == "a:2:1: x; y"


def test_words_for_messages() -> None:
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed([]) == "nothing"
    assert listed([str(n) for n in range(9)], 2) == "0, 1 and 7 more"
    assert nearest("shedOrder", ["shed_order", "rank"]) == "shed_order"
    assert nearest("zzz", ["shed_order"]) == ""
    assert shown(10**80) == "a very long number"
    assert len(shown("x" * 500)) < 70


def test_a_document_of_nonsense_does_not_flood(root: Path) -> None:
    text = (root / PLAYBOOK).read_text(encoding="utf-8")
    (root / PLAYBOOK).write_text(text + "".join(f"match{n}: 1\n" for n in range(2000)), encoding="utf-8")
    found = lines(root)
    assert len(found) == 501
    assert "2000 problems" in found[0]


def test_a_phase_without_end_is_told_at_the_phase_alone(root: Path) -> None:
    changed(root, DRILL, ("warm_up: 12s", "warm_up: 100000h"))
    assert lines(root) == [f"{DRILL}:14:19: a phase warm_up of 100000h; at most 1d"]


def test_no_unit_is_guessed_for_what_is_no_number(root: Path) -> None:
    changed(root, DRILL, ("rate: 20/s, streaming", "rate: 1e400, streaming"))
    (said,) = [line for line in lines(root) if "1e400" in line]
    assert "did you mean" not in said
