"""What the agent reads: cgroups as kubelets name them, journals that were cut off, lines of orders, kernel messages."""

from __future__ import annotations

import ast
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import journal
import namespaces
import nfqueue
from conftest import PROGRAM, Agent, Refusal, until
from processes import Place, place_in
from sessions import Session

UID, PLAIN = "5d3c1fa4-1111-4222-8333-abcdefabcdef", "5d3c1fa4111142228333abcdefabcdef"
CONTAINER = "ab12" * 16


def test_every_module_is_valid_for_python_3_9_and_short() -> None:
    for path in PROGRAM.glob("*.py"):
        ast.parse(path.read_text(), feature_version=(3, 9))
        assert path.read_text().count("\n") <= 350, path.name


@pytest.mark.parametrize(
    "text",
    [
        f"0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UID.replace('-', '_')}.slice/"
        f"cri-containerd-{CONTAINER}.scope",
        f"0::/kubepods.slice/kubepods-pod{UID.replace('-', '_')}.slice/crio-{CONTAINER}.scope",
        f"0::/../../kubepods-besteffort.slice/kubepods-besteffort-pod{UID.replace('-', '_')}.slice/"
        f"docker-{CONTAINER}.scope",
        f"0::/kubepods/besteffort/pod{UID}/{CONTAINER}",
        f"12:pids:/kubepods/burstable/pod{UID}/{CONTAINER}\n1:name=systemd:/kubepods/burstable/pod{UID}/{CONTAINER}",
        f"4:memory:/tierdrill-node-1/kubepods/besteffort/pod{UID}/{CONTAINER}\n0::/user.slice",
        f"0::/kubepods/pod{PLAIN}/{CONTAINER}",
        f"0::/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{UID.replace('-', '_')}.slice/"
        f"cri-containerd-{CONTAINER}.scope/init",
    ],
)
def test_a_pod_is_known_by_its_cgroup_however_that_is_spelled(text: str) -> None:
    assert place_in(text) == Place(PLAIN, CONTAINER)


@pytest.mark.parametrize(
    "text", ["", "0::/", "0::/system.slice/ssh.service", "0::/user.slice/pod1234", f"0::/x/tripod{UID}/{CONTAINER}"]
)
def test_what_is_in_no_pod_is_in_none(text: str) -> None:
    assert place_in(text) == Place("", "")


@given(st.text())
def test_any_text_may_stand_in_a_cgroup_file(text: str) -> None:
    place_in(text)


FAULTS = st.sampled_from(["a", "b", "c"])


@given(st.lists(st.tuples(st.booleans(), FAULTS)), st.integers(0, 12))
def test_a_journal_that_was_cut_off_holds_all_that_was_on_disk(steps: list[tuple[bool, str]], cut: int) -> None:
    lines = [json.dumps({"intent": {"fault": name}} if begins else {"over": name}) for begins, name in steps]
    whole = "".join(f"{line}\n" for line in lines)
    stands: set[str] = set()
    for begins, name in steps[: len(steps) - bool(cut and steps)]:
        stands = stands | {name} if begins else stands - {name}
    assert set(journal.standing(whole[: len(whole) - cut] if cut else whole)) == stands


@given(st.text())
def test_any_text_may_stand_in_a_journal(text: str) -> None:
    journal.standing(text)
    assert set(journal.standing(text + '\n{"intent": {"fault": "a"}}\n')) >= {"a"}


def test_a_journal_goes_on_after_a_line_that_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_text('{"intent": {"fault": "a"}}\n{"intent": {"fau')
    one = journal.Journal(path)
    one.intend({"fault": "b"})
    one.close()
    again = journal.Journal(path)
    assert set(again.faults) == {"a", "b"}
    for name in ("a", "b", "b"):
        again.over(name)
    again.close()
    assert path.read_text() == ""


@given(st.lists(st.binary(max_size=40)))
def test_lines_come_whole_however_they_are_cut(parts: list[bytes]) -> None:
    read, write = os.pipe()
    session = Session(read, write)
    came: list[str] = []
    for part in parts:
        os.write(write, part)
        came += session.lines() if part else []
    expected = [line for line in b"".join(parts).split(b"\n")[:-1] if line.strip()]
    assert came == [line.decode(errors="replace") for line in expected]
    session.close()


@given(st.binary(max_size=200))
def test_any_bytes_may_come_from_the_kernel(data: bytes) -> None:
    for _, body in nfqueue.messages(data):
        list(nfqueue.attributes(body))


@given(st.integers(1, 20), st.binary(max_size=30), st.integers(0, 65535))
def test_a_kernel_message_reads_back(kind: int, data: bytes, queue: int) -> None:
    [(what, body)] = nfqueue.messages(nfqueue.message(kind, queue, nfqueue.attribute(3, data)))
    assert what == kind and list(nfqueue.attributes(body[4:])) == [(3, data)]


@pytest.mark.parametrize("line", ["", "{", "[]", "null", '"do"', '{"do": null}', '{"do": "__init__"}', "\x00\xff"])
def test_lines_that_are_no_orders_are_answered_and_do_no_harm(agent: Agent, line: str) -> None:
    assert agent.process.stdin is not None
    agent.process.stdin.write(line + "\n")
    assert agent.do("list")["faults"] == []
    assert [one["ok"] for one in agent.events] == ([False] if line else [])


@pytest.mark.parametrize(
    "order",
    [
        {"do": "bind", "fault": "", "kind": "hang", "target": {"pid": 1}, "parameters": {}},
        {"do": "bind", "fault": "a", "kind": "nothing", "target": {}, "parameters": {}},
        {"do": "bind", "fault": "a", "kind": "hang", "target": None, "parameters": {}},
        {"do": "bind", "fault": "a", "kind": "hang", "target": {}, "parameters": {}},
        {"do": "inject"},
        {"do": "inject", "record": {"fault": "a", "kind": "hang", "target": {}, "parameters": {}}},
        {"do": "arm", "lease_s": 0},
        {"do": "arm", "lease_s": "10"},
        {"do": "probe", "probes": []},
        {"do": "probe", "probes": [{"to": "example.org:80"}]},
        {"do": "probe", "probes": [{"to": "10.0.0.1:80", "path": "/ x"}]},
        {"do": "probe", "probes": [{"to": "10.0.0.1:80"}], "within_s": 100},
    ],
)
def test_orders_that_make_no_sense_are_refused(agent: Agent, order: dict[str, object]) -> None:
    with pytest.raises(Refusal):
        agent.do(str(order["do"]), **{key: value for key, value in order.items() if key != "do"})
    assert agent.do("list")["faults"] == []


def test_lines_in_the_kernels_log_are_counted_by_another_reader(agent: Agent) -> None:
    mark = f"tierdrill-test-{os.getpid()}"
    parameters = {"lines": [f"{mark} one", f"{mark} two"], "mark": mark, "count": 60, "per_second": 1000}
    try:
        record = agent.bind("lines", {"host": True}, **parameters)
    except Refusal as error:
        pytest.skip(str(error))
    assert not agent.seen(record)
    agent.do("inject", record=record)
    until(lambda: agent.do("look", record=record)["detail"].startswith("60 of 60 lines"))
    assert agent.revert(record) == "nothing to do"


def test_lines_stop_when_they_are_undone(agent: Agent) -> None:
    mark = f"tierdrill-stop-{os.getpid()}"
    try:
        record = agent.inject("lines", {"host": True}, lines=[mark], mark=mark, count=1000, per_second=20)
    except Refusal as error:
        pytest.skip(str(error))
    assert agent.revert(record) == "reverted"
    seen = agent.do("look", record=record)["detail"]
    agent.do("probe", probes=[{"to": "127.0.0.1:1"}])
    assert agent.do("look", record=record)["detail"] == seen


def test_pressure_is_made_by_children_that_end_with_it(agent: Agent) -> None:
    record = agent.inject("stress", {"host": True}, cpu_percent=1, memory_percent=1)
    children = Path(f"/proc/{agent.process.pid}/task/{agent.process.pid}/children")
    pids = children.read_text().split()
    assert len(pids) == 1 + (os.cpu_count() or 1) and agent.seen(record)
    assert agent.revert(record) == "reverted"
    assert children.read_text().split() == []
    agent.inject("stress", {"host": True}, fault="again", cpu_percent=1)
    pids = children.read_text().split()
    agent.process.kill()
    agent.process.wait()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


def test_a_program_of_the_node_is_found_where_its_links_lead_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Debian, where iptables is an alternative: /usr/sbin/iptables is a link to /etc/alternatives, and so on."""
    for folder in ("usr/sbin", "etc/alternatives"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "usr/sbin/iptables").symlink_to("/etc/alternatives/iptables")
    (tmp_path / "etc/alternatives/iptables").symlink_to("../../usr/sbin/iptables-of-test")
    (tmp_path / "usr/sbin/nft-of-test").symlink_to("/usr/sbin/nft-of-test")
    monkeypatch.setattr(namespaces, "NODE_ROOT", str(tmp_path))
    monkeypatch.setattr(namespaces.shutil, "which", lambda name, path: None)
    assert namespaces.tool("iptables") is None
    (tmp_path / "usr/sbin/iptables-of-test").touch()
    assert namespaces.tool("iptables") == namespaces.Tool("/usr/sbin/iptables", of_node=True)
    assert namespaces.tool("nft-of-test") is None
