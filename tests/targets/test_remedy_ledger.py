"""What remedies leave changed: its undo is on the ledger before they act, and whoever undoes can play it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import parse_qsl, unquote

import pytest

from tierdrill.history.events import Event
from tierdrill.history.kill_switch import throw_kill_switch
from tierdrill.history.ledger import Ledger
from tierdrill.history.ledger_tables import LedgerFault
from tierdrill.lab.calls import Call
from tierdrill.lab.client import LabClient, LabError
from tierdrill.lab.lab_files import LabState
from tierdrill.recovery.cleanup import undo_all
from tierdrill.targets.base import Inventory, RemedyResult, TargetError
from tierdrill.targets.lab import fault_port
from tierdrill.targets.lab.settings import LabSettings
from tierdrill.targets.remedy_ledger import RemedyLedger

RUN = "run-1"
GATEWAYS = {"gateway-a": "127.0.0.1:1", "gateway-b": "127.0.0.1:2"}


class FakeLab(LabClient):
    """A lab's control API as far as settings, cordons, places and leases go. `said` is by kind, gateway, name."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.lab = cast(LabState, SimpleNamespace(name="kept", id="lab-id", gateways=GATEWAYS))
        self.said: dict[str, dict[str, dict[str, Any]]] = {
            kind: {name: {} for name in GATEWAYS} for kind in ("shed", "weights", "flags", "caps")
        }
        self.cordoned: dict[str, set[int | None]] = {"node-1": set(), "node-2": set()}
        self.where: dict[str, str] = {"chat-0": "node-1/0"}
        self.held: dict[str, list[dict[str, Any]]] = {}
        self.down: set[str] = set()
        self.fails = ""
        self.on_ledger: list[tuple[str, list[str]]] = []

    def ask(self, call: Call) -> dict[str, Any]:
        _, _, what, *rest = call.path.split("/")
        if what == "leases":
            name, body = unquote("/".join(rest)), call.body or {}
            if call.method == "PUT":
                self.held[name] = body["undo"]
            else:
                self.held.pop(name, None)
            return {"ok": True}
        if what == "remedies":
            return self._remedy(rest[0], call.body or {})
        if what == "state":
            return self._state()
        if what == "status":
            return {"processes": [{"name": n, "program": "gateway", "alive": n not in self.down} for n in GATEWAYS]}
        gateway = call.query["gateway"]
        if gateway in self.down:
            raise LabError(f"{gateway} is not responding")
        self.said[what][gateway].update(call.body or {})
        return {gateway: dict(self.said[what][gateway])}

    def play(self) -> None:
        """What the lab does by itself once the leases have run out."""
        for undo in self.held.values():
            for one in undo:
                path, _, query = one["path"].partition("?")
                self.ask(Call(one["method"], path, one["body"], dict(parse_qsl(query))))

    def _state(self) -> dict[str, Any]:
        nodes = [
            {
                "name": name,
                "cordoned": None in cordons,
                "gpus": [{"index": i, "cordoned": None in cordons or i in cordons, "usable": True} for i in (0, 1)],
            }
            for name, cordons in self.cordoned.items()
        ]
        replicas = [
            {"name": name, "node": at and at.split("/")[0], "gpu": at and int(at[-1]), "home": "node-1/0"}
            for name, at in self.where.items()
        ]
        return {"nodes": nodes, "replicas": replicas}

    def _remedy(self, verb: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        if verb == "rebalance":
            self.where = dict.fromkeys(self.where, "node-1/0")
        elif verb == "reschedule":
            self.where = dict.fromkeys(self.where, "node-2/1")
        elif verb == "cordon":
            self.cordoned[arguments["node"]].add(arguments.get("gpu"))
        else:
            self.cordoned[arguments["node"]].clear()
        return {"ok": True}


class Remedies:
    """The port below: carries remedies out, and notes what the ledger knew when it was called."""

    def __init__(self, lab: FakeLab) -> None:
        self._lab = lab

    async def inventory(self) -> Inventory:
        return Inventory((), (), (), ())

    async def fact(self, name: str, subject: str) -> Any:
        return None

    async def remedy(self, action: str, arguments: dict[str, Any]) -> RemedyResult:
        self._lab.on_ledger.append((action, [entry.id for entry in entries(self._lab.home)]))
        if self._lab.fails:
            raise TargetError(self._lab.fails)
        at = [arguments["gateway"]] if "gateway" in arguments else list(GATEWAYS)
        for gateway in at:
            if action == "shed":
                self._lab.to_gateways("shed", {arguments["tier"]: arguments["fraction"]}, gateway)
            elif action == "set-weight":
                self._lab.to_gateways("weights", {arguments["node"]: arguments["weight"]}, gateway)
            elif action == "set-flag":
                self._lab.to_gateways("flags", {arguments["flag"]: arguments["value"]}, gateway)
            elif action == "restart-gateway":
                for kind in self._lab.said.values():
                    kind[gateway].clear()
        if action in ("cordon", "uncordon", "reschedule"):
            self._lab.remedy(action, arguments)
        return RemedyResult(True, "done")


def entries(home: Path) -> list[LedgerFault]:
    with closing(Ledger(home)) as ledger:
        return ledger.open_faults()


def names(home: Path) -> list[str]:
    return sorted(entry.id.removeprefix(f"{RUN}/remedy/") for entry in entries(home))


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeLab]:
    """A lab that the ledger's place leads to as well: what the reaper and `recover` see is this one."""
    made = FakeLab(tmp_path)
    monkeypatch.setattr(fault_port.LabPort, "_reachable", lambda self: made.lab)
    monkeypatch.setattr(fault_port, "LabClient", lambda state: made)
    yield made


def do(fake: FakeLab, action: str, **arguments: Any) -> RemedyResult:
    port = RemedyLedger(Remedies(fake), LabSettings(fake, fake.home), fake.home, RUN, 5.0)
    return asyncio.run(port.remedy(action, arguments))


def undo(fake: FakeLab, told: list[Event] | None = None) -> list[str]:
    with closing(Ledger(fake.home)) as ledger:
        return undo_all(ledger, RUN, "reaper", (told if told is not None else []).append, within_s=0.2)


def test_the_undo_is_on_the_ledger_before_the_remedy_acts(fake: FakeLab) -> None:
    fake.to_gateways("shed", {"best-effort": 0.1}, "gateway-a")
    do(fake, "shed", tier="best-effort", fraction=0.5)
    here = [f"{RUN}/remedy/shed of best-effort at {name}" for name in GATEWAYS]
    assert fake.on_ledger == [("shed", here)]
    assert [(entry.state, entry.lease_s) for entry in entries(fake.home)] == [("landed", 5.0)] * 2
    told: list[Event] = []
    assert undo(fake, told) == [] and entries(fake.home) == []
    assert fake.said["shed"] == {"gateway-a": {"best-effort": 0.1}, "gateway-b": {"best-effort": 0.0}}
    assert [item.kind for item in told] == ["remedy.reverting", "remedy.gone"] * 2
    assert all(item.data["remedy"] in here for item in told)


@pytest.mark.parametrize(
    ("action", "arguments", "entry"),
    [
        ("set-weight", {"node": "node-1", "weight": 0.0, "gateway": "gateway-a"}, ["weights of node-1 at gateway-a"]),
        ("set-flag", {"flag": "retries", "value": True, "gateway": "gateway-b"}, ["flags of retries at gateway-b"]),
        ("cordon", {"node": "node-2"}, ["cordon of node-2"]),
        ("cordon", {"node": "node-2", "gpu": 1}, ["cordon of node-2"]),
        ("reschedule", {"node": "node-1"}, ["places"]),
    ],
)
def test_each_kind_of_setting_is_put_back_as_it_was(
    fake: FakeLab, action: str, arguments: dict[str, Any], entry: list[str]
) -> None:
    before = fake.state()
    do(fake, action, **arguments)
    assert names(fake.home) == entry
    assert undo(fake) == [] and names(fake.home) == []
    assert fake.state() == before
    assert not any(value for kind in ("flags", "shed") for by in fake.said[kind].values() for value in by.values())
    assert all(weight == 1.0 for by in fake.said["weights"].values() for weight in by.values())


@pytest.mark.parametrize(
    ("action", "arguments"),
    [
        ("shed", {"tier": "best-effort", "fraction": 0.5}),
        ("set-weight", {"node": "node-1", "weight": 0.0, "gateway": "gateway-a"}),
        ("cordon", {"node": "node-2", "gpu": 1}),
        ("reschedule", {"node": "node-1"}),
    ],
)
def test_the_lab_itself_can_put_it_back(fake: FakeLab, action: str, arguments: dict[str, Any]) -> None:
    before = fake.state()
    do(fake, action, **arguments)
    assert sorted(fake.held) == sorted(entry.id for entry in entries(fake.home))
    fake.play()
    assert fake.state() == before
    assert {value for kind in ("shed",) for by in fake.said[kind].values() for value in by.values()} <= {0.0}
    assert {value for by in fake.said["weights"].values() for value in by.values()} <= {1.0}
    # And whoever looks afterwards closes the entries, and gives the leases back.
    assert undo(fake) == [] and entries(fake.home) == [] and fake.held == {}


def test_the_change_that_gives_back_closes_the_entry(fake: FakeLab) -> None:
    do(fake, "set-weight", node="node-1", weight=0.0, gateway="gateway-a")
    do(fake, "set-weight", node="node-1", weight=0.5)
    assert names(fake.home) == ["weights of node-1 at gateway-a", "weights of node-1 at gateway-b"]
    do(fake, "set-weight", node="node-1", weight=1.0, gateway="gateway-a")
    assert names(fake.home) == ["weights of node-1 at gateway-b"]
    assert list(fake.held) == [f"{RUN}/remedy/weights of node-1 at gateway-b"]
    undo(fake)
    assert fake.said["weights"] == {"gateway-a": {"node-1": 1.0}, "gateway-b": {"node-1": 1.0}}


def test_the_first_change_says_what_it_was(fake: FakeLab) -> None:
    do(fake, "shed", tier="best-effort", fraction=0.5)
    do(fake, "shed", tier="best-effort", fraction=0.9)
    undo(fake)
    assert fake.said["shed"]["gateway-a"] == {"best-effort": 0.0}


def test_a_restart_takes_along_what_the_gateway_was_told(fake: FakeLab) -> None:
    port = RemedyLedger(Remedies(fake), LabSettings(fake, fake.home), fake.home, RUN, 5.0)

    async def both() -> None:
        await port.remedy("set-flag", {"flag": "fail_open", "value": True, "gateway": "gateway-a"})
        assert names(fake.home) == ["flags of fail_open at gateway-a"]
        await port.remedy("restart-gateway", {"gateway": "gateway-a"})

    asyncio.run(both())
    assert names(fake.home) == []


def test_a_gateway_that_has_ended_has_nothing_to_put_back(fake: FakeLab) -> None:
    do(fake, "shed", tier="best-effort", fraction=0.5)
    fake.down.add("gateway-a")
    assert undo(fake) == [] and names(fake.home) == []


def test_what_may_have_happened_stays_on_the_ledger(fake: FakeLab) -> None:
    fake.fails = "no answer"
    fake.down.clear()
    with pytest.raises(TargetError):
        do(fake, "shed", tier="best-effort", fraction=0.5)
    # Looked at afterwards: nothing has changed, so nothing is left to undo.
    assert names(fake.home) == []


def test_nothing_begins_once_everything_is_halted_but_giving_back_goes_on(fake: FakeLab) -> None:
    do(fake, "shed", tier="best-effort", fraction=0.5)
    with closing(Ledger(fake.home)) as ledger:
        throw_kill_switch(ledger.home, "anna", "enough")
    refused = do(fake, "set-flag", flag="retries", value=True)
    assert not refused.ok and "enough (anna)" in refused.detail and fake.said["flags"]["gateway-a"] == {}
    assert do(fake, "shed", tier="best-effort", fraction=0.0).ok
    assert fake.said["shed"]["gateway-a"] == {"best-effort": 0.0} and names(fake.home) == []


def test_nothing_is_done_that_the_ledger_cannot_know(fake: FakeLab) -> None:
    do(fake, "notify", message="hello")
    for name in fake.home.glob("ledger.db*"):
        name.unlink()
    (fake.home / "ledger.db").mkdir()
    refused = RemedyLedger(Remedies(fake), LabSettings(fake, fake.home), fake.home, RUN, 5.0)
    fake.on_ledger.clear()
    result = asyncio.run(refused.remedy("shed", {"tier": "best-effort", "fraction": 0.5}))
    assert not result.ok and "cannot be written down" in result.detail
    assert fake.said["shed"]["gateway-a"] == {} and fake.on_ledger == []


def test_what_was_changed_while_it_was_undone_is_undone_again(fake: FakeLab, monkeypatch: pytest.MonkeyPatch) -> None:
    do(fake, "shed", tier="best-effort", fraction=0.5)
    real, again = Ledger.close_entry, ["once"]

    def close_entry(self: Ledger, fault: str, note: str) -> bool:
        if again and fault.endswith("gateway-a"):
            again.clear()
            do(fake, "shed", tier="best-effort", fraction=0.7)
        return real(self, fault, note)

    monkeypatch.setattr(Ledger, "close_entry", close_entry)
    undo(fake)
    # The other gateway's entry had been closed before, and is open again.
    assert names(fake.home) == ["shed of best-effort at gateway-b"]
    undo(fake)
    assert {name: by["best-effort"] for name, by in fake.said["shed"].items()} == dict.fromkeys(GATEWAYS, 0.0)
    assert names(fake.home) == []


def test_what_was_undone_while_the_remedy_acted_is_written_down_again(
    fake: FakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease ran out just before the change: the entry is closed, and the change is in force."""
    real = Remedies.remedy

    async def remedy(self: Remedies, action: str, arguments: dict[str, Any]) -> RemedyResult:
        undo(fake)
        return await real(self, action, arguments)

    monkeypatch.setattr(Remedies, "remedy", remedy)
    do(fake, "shed", tier="best-effort", fraction=0.5, gateway="gateway-a")
    assert names(fake.home) == ["shed of best-effort at gateway-a"]
    assert undo(fake) == [] and fake.said["shed"]["gateway-a"] == {"best-effort": 0.0}


def test_replicas_go_home_last(fake: FakeLab, monkeypatch: pytest.MonkeyPatch) -> None:
    do(fake, "cordon", node="node-1")
    do(fake, "reschedule", node="node-1")
    order: list[str] = []
    real = fault_port.put_back

    def put_back(client: LabClient, parameters: dict[str, Any]) -> None:
        order.append(parameters["setting"]["kind"])
        real(client, parameters)

    monkeypatch.setattr(fault_port, "put_back", put_back)
    assert undo(fake) == []
    assert order == ["cordon", "places"]
