"""The two modes of a lab: what does a fault in each, and what is said where this machine has only one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.support import tierdrill
from tierdrill.faults.known_kinds import KINDS
from tierdrill.lab.lab_config import Means
from tierdrill.lab.network import means as machine
from tierdrill.targets.base import TargetError
from tierdrill.targets.lab.fault_port import MECHANISMS, mechanisms_with
from tierdrill.targets.lab.target import LabTarget

HERE = Means(("-Urn",), "netem", "tc htb", "iptables DROP", "iptables REJECT --reject-with tcp-reset")
NO_UNSHARE = "no network namespaces can be made here: unshare failed: Operation not permitted"


@pytest.fixture
def no_means(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> Means:
        raise machine.NoMeans(NO_UNSHARE)

    monkeypatch.setattr(machine, "means", refused)


def test_every_fault_of_a_link_is_the_kernels_in_namespace_mode() -> None:
    there = mechanisms_with(HERE)
    other = {kind for kind in there if there[kind] != MECHANISMS[kind]}
    links = {kind for kind, fault in KINDS.items() if fault.target_kind == "link" and kind in MECHANISMS}
    assert links <= other and "node-power-loss" in other
    for kind in links:
        assert any(word in there[kind].text for word in (HERE.delay, HERE.rate, HERE.drop, HERE.reset)), kind
        assert "proxy" not in there[kind].text and not there[kind].emulated
    assert mechanisms_with(None) == MECHANISMS


def test_a_machine_without_namespaces_refuses_with_the_reason(no_means: None, tmp_path: Path) -> None:
    target = LabTarget(namespaces=True)
    with pytest.raises(TargetError, match="Operation not permitted"):
        target.mechanisms()
    with pytest.raises(TargetError, match="Operation not permitted"):
        target.check(tmp_path, tmp_path, None)
    assert NO_UNSHARE in target.absent()["mode"]["namespace"]
    assert LabTarget().mechanisms() == MECHANISMS and "mode" not in LabTarget().absent()


def test_mode_needs_a_lab(tmp_path: Path) -> None:
    done = tierdrill(tmp_path, "plan", "slow-link", "--mode", "container")
    assert done.code == 2 and "'portable', 'namespace'" in done.err
