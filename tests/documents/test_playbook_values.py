"""What a playbook writes out instead of taking it from its alert: a name that nothing has, a value that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.documents.support import PLAYBOOK, changed, good_catalogue, lines

ALERTS = {"NodeNotReady": ("node", "severity"), "ReplicaNotReady": ("pod",), "QueueLong": ()}
WHEN = '{fact: node.ready, subject: "${labels.node}", equals: false}'
VERIFY = "{fact: tier.ready_share, subject: critical, at_least: 0.9, within: 5s}"
REMEDY = 'do: reschedule\n    arguments: {node: "${target}", tiers: [critical, standard]}'


def with_remedy(do: str, arguments: str) -> tuple[str, str]:
    return REMEDY, f"do: {do}\n    arguments: {{{arguments}}}"


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ((WHEN, "{fact: node.ready, subject: node-9, equals: false}"), "8:33: no node named 'node-9'"),
        ((WHEN, "{fact: tier.shed, subject: critcal, at_most: 0}"), "no tier named 'critcal'"),
        ((WHEN, "{fact: alert.firing, subject: 'NodeNotRedy{node=a}', equals: true}"), "no alert named 'NodeNotRedy'"),
        ((WHEN, WHEN.replace("false", '"false"')), "fact node.ready: got 'false', expected true or false"),
        ((WHEN, WHEN.replace("equals: false", "at_least: 1")), "at_least for fact node.ready; it is no number"),
        ((WHEN, "{fact: replica.state, subject: '${target}', equals: exitd}"), "(did you mean exited?)"),
        ((VERIFY, VERIFY.replace("0.9", "90")), "fact tier.ready_share: got 90.0, expected a share from 0 to 1"),
        (("tiers: [critical, standard]", "tiers: [critical, standart]"), "no tier named 'standart'"),
        (with_remedy("drain", "node: node-7"), "no node named 'node-7'"),
        (with_remedy("shed", "tier: batch, fraction: 50"), "fraction: got 50, expected a share from 0 to 1"),
        (with_remedy("set-flag", "flag: retires, value: true"), "no flag named 'retires'"),
        (with_remedy("set-flag", "flag: retries, value: 'no'"), "value: got 'no', expected true or false"),
        (with_remedy("set-weight", "node: '${target}', weight: 2"), "weight: got 2, expected a share from 0 to"),
        (with_remedy("cordon", "node: '${target}', gpu: first"), "gpu: got 'first', expected a GPU's index"),
        (with_remedy("restart-gateway", "gateway: gateway-z"), "no gateway named 'gateway-z'"),
        (("target: ${labels.node}", "target: node-8"), "no node named 'node-8'"),
        (with_remedy("set-flag", "flag: 1, value: true"), "no flag named '1'"),
        (("group_by: [node]", "group_by: [nod]"), "no label of alert NodeNotReady named 'nod'"),
        (("{key: node, max", "{key: host, max"), "no label of alert NodeNotReady named 'host'"),
    ],
)  # fmt: skip
def test_a_name_or_value_that_cannot_be_is_told(tmp_path: Path, edit: tuple[str, str], said: str) -> None:
    root = good_catalogue(tmp_path)
    changed(root, PLAYBOOK, edit)
    found = [line for line in lines(root, ALERTS) if line.startswith(PLAYBOOK)]
    assert any(said in line for line in found), found


ROLLBACK = '    rollback: {do: uncordon, arguments: {node: "${target}"}}\n'
NOTHING = "that nothing takes back; a rollback or a step of on_resolve that does, or stays: true and why"


@pytest.mark.parametrize(
    ("remedy", "rest", "said"),
    [
        (with_remedy("shed", "tier: standard, fraction: 0.5"), "", f"shed {NOTHING}"),
        (with_remedy("set-weight", 'node: "${target}", weight: 0'), "", f"set-weight {NOTHING}"),
        (with_remedy("set-flag", "flag: fail_open, value: true"), "", f"set-flag {NOTHING}"),
        (with_remedy("cordon", 'node: "${target}"'), "", f"cordon {NOTHING}"),
        (with_remedy("drain", 'node: "${target}"'), "", f"drain {NOTHING}"),
        # Something else is rolled back: another tier, another gateway's weight.
        (with_remedy("shed", "tier: standard, fraction: 0.5"),
         "    rollback: {do: shed, arguments: {tier: best-effort, fraction: 0}}\n", f"shed {NOTHING}"),
        (with_remedy("set-weight", 'node: "${target}", weight: 0, gateway: gateway-a'),
         '    rollback: {do: set-weight, arguments: {node: "${target}", weight: 1, gateway: gateway-b}}\n',
         f"set-weight {NOTHING}"),
        (with_remedy("set-flag", "flag: fail_open, value: true"), "    stays: true\n", "stays without why"),
        (with_remedy("set-flag", "flag: fail_open, value: true"), "    why: it must\n", "why without stays"),
        (with_remedy("restart-replica", "replica: a-0"), "    stays: true\n    why: so\n", "stays for restart-replica"),
    ],
)  # fmt: skip
def test_what_nothing_takes_back_is_refused(tmp_path: Path, remedy: tuple[str, str], rest: str, said: str) -> None:
    root = good_catalogue(tmp_path)
    changed(root, PLAYBOOK, remedy, (ROLLBACK, rest))
    found = [line for line in lines(root, ALERTS) if line.startswith(PLAYBOOK)]
    assert any(said in line for line in found), found


@pytest.mark.parametrize(
    ("remedy", "rest"),
    [
        (with_remedy("shed", "tier: standard, fraction: 0.5"),
         "    rollback: {do: shed, arguments: {tier: standard, fraction: 0}}\n"),
        (with_remedy("shed", "tier: standard, fraction: 0.5"),
         "on_resolve: {steps: [{name: lift, do: shed, arguments: {tier: standard, fraction: 0}}]}\n"),
        (with_remedy("shed", "tier: standard, fraction: 0"), ""),
        (with_remedy("set-flag", "flag: fail_open, value: true"), "    stays: true\n    why: serving beats order\n"),
        (with_remedy("drain", 'node: "${target}"'), ROLLBACK),
        (with_remedy("reschedule", 'node: "${target}"'), ""),
    ],
)  # fmt: skip
def test_what_is_taken_back_or_said_to_stay_is_fine(tmp_path: Path, remedy: tuple[str, str], rest: str) -> None:
    root = good_catalogue(tmp_path)
    changed(root, PLAYBOOK, remedy, (ROLLBACK, rest))
    assert [line for line in lines(root, ALERTS) if line.startswith(PLAYBOOK)] == []
