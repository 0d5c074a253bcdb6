"""Finding and fetching the programs; fetching with stand-ins for apt-get and dpkg-deb, no network."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tierdrill.monitoring import binaries
from tierdrill.monitoring.binaries import (
    MonitoringUnavailable,
    fetch,
    fetch_etcd,
    find,
    locate,
    relocate,
    require,
    require_etcd,
    working_directory,
)


def _program(path: Path, text: str = "#!/bin/sh\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


def test_a_variable_wins_over_the_tools_and_these_over_path(tmp_path: Path) -> None:
    named = _program(tmp_path / "named")
    tools = _program(tmp_path / "tools/usr/bin/prometheus")
    on_path = _program(tmp_path / "path/prometheus")
    env = {"PATH": str(on_path.parent)}
    assert locate("prometheus", None, env) == on_path
    assert locate("prometheus", tmp_path / "tools", env) == tools
    assert locate("prometheus", tmp_path / "tools", {**env, "TIERDRILL_PROMETHEUS": str(named)}) == named


def test_both_names_of_alertmanager(tmp_path: Path) -> None:
    upstream = _program(tmp_path / "alertmanager")
    assert locate("alertmanager", None, {"PATH": str(tmp_path)}) == upstream
    debian = _program(tmp_path / "prometheus-alertmanager")
    assert locate("alertmanager", None, {"PATH": str(tmp_path)}) == debian


def test_a_variable_that_names_nothing_is_an_error(tmp_path: Path) -> None:
    for wrong in (tmp_path / "gone", tmp_path):
        with pytest.raises(MonitoringUnavailable, match="TIERDRILL_AMTOOL"):
            locate("amtool", None, {"TIERDRILL_AMTOOL": str(wrong), "PATH": ""})


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _program(tmp_path / "prometheus")
    monkeypatch.chdir(tmp_path)  # an empty PATH must not mean the current folder
    assert find(None, {"PATH": ""}) is None
    with pytest.raises(MonitoringUnavailable, match=r"not found: alertmanager, promtool, amtool; install .*apt-get"):
        require(None, {"PATH": str(tmp_path)})


APT = """#!/bin/sh
for last; do :; done
case " $* " in
  *" update "*) [ -n "$FAIL_UPDATE" ] && { echo "W: Failed to fetch mirror" >&2; }; exit 0 ;;
  *" download "*) [ -n "$FAIL_UPDATE" ] && { echo "E: no source" >&2; exit 100; }
                  [ -n "$HANG" ] && exec sleep 30
                  case $last in etcd-server)
                    [ -n "$NO_ETCD" ] && { echo "E: no such package" >&2; exit 100; }
                    echo three > etcd-server_1.deb; exit 0 ;;
                  esac
                  echo one > prometheus_1.deb; echo two > prometheus-alertmanager_1.deb ;;
esac
"""
APT_CACHE = """#!/bin/sh
for last; do :; done
[ -n "$TAMPERED" ] && echo "$last was replaced on its way" >> "$last"_1.deb
case $last in
  prometheus) echo "SHA256: 2c8b08da5ce60398e1f19af0e5dccc744df274b826abe585eaba68c525434806" ;;
  etcd-server) echo "SHA256: f6936912184481f5edd4c304ce27c5a1a827804fc7f329f43d273b8621870776" ;;
  *) echo "SHA256: 27dd8ed44a83ff94d557f9fd0412ed5a8cbca69ea04922d88c01184a07300a5a" ;;
esac
"""
DPKG = """#!/bin/sh
mkdir -p "$3/usr/bin" "$3/etc"
case $2 in *etcd*) CONTENTS=etcd ;; esac
for name in ${CONTENTS-prometheus promtool prometheus-alertmanager amtool}; do
  printf '#!/bin/sh\\n' > "$3/usr/bin/$name"; chmod 755 "$3/usr/bin/$name"
done
"""


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    _program(tmp_path / "bin/apt-get", APT)
    _program(tmp_path / "bin/apt-cache", APT_CACHE)
    _program(tmp_path / "bin/dpkg-deb", DPKG)
    status = tmp_path / "status"
    status.touch()
    monkeypatch.setattr(binaries, "DPKG_STATUS", status)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/bin:/usr/bin")
    return tmp_path / "tools"


def test_fetching_puts_every_program_into_the_tools(apt: Path) -> None:
    said: list[str] = []
    found = fetch(apt, said.append)
    fetch_etcd(apt, said.append)
    assert found.prometheus == apt / "usr/bin/prometheus"
    assert sorted(path.name for path in (apt / "usr/bin").iterdir()) == [
        "amtool",
        "etcd",
        "prometheus",
        "prometheus-alertmanager",
        "promtool",
    ]
    assert [path.name for path in apt.iterdir()] == ["usr"]  # nothing else is left
    assert len(said) == 11
    assert sum("SHA-256" in line for line in said) == 3  # of each package, which one it had
    assert fetch(apt, said.append) == found


def test_without_etcd_labs_with_a_state_store_say_what_is_missing(apt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_ETCD", "1")
    said: list[str] = []
    fetch_etcd(apt, said.append)
    assert said[-1].startswith("no etcd, and no drills of the state store: ") and "no such package" in said[-1]
    with pytest.raises(MonitoringUnavailable, match=r"needs etcd, which was not found; .*apt-get install etcd-server"):
        require_etcd(apt, {"PATH": ""})
    etcd = _program(apt / "usr/bin/etcd")
    assert require_etcd(apt, {"PATH": ""}) == etcd


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("FAIL_UPDATE", "1", r"`apt-get -q download .*W: Failed to fetch mirror / E: no source; install"),
        ("CONTENTS", "prometheus", "hold not all of"),
        ("TAMPERED", "1", r"prometheus-alertmanager_1\.deb: SHA-256 is [0-9a-f]{64}, expected 27dd8ed4"),
        ("HANG", "1", "did not end within 1 s"),
    ],
)
def test_a_fetch_that_fails_says_why_and_leaves_nothing(
    apt: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    monkeypatch.setenv(variable, value)
    monkeypatch.setattr(binaries, "DOWNLOAD_TIMEOUT_S", 1.0)
    with pytest.raises(MonitoringUnavailable, match=message):
        fetch(apt, lambda _: None)
    assert list(apt.iterdir()) == []


def test_without_apt_the_message_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MonitoringUnavailable, match=r"apt-get is not on this machine; install .* yourself"):
        fetch(tmp_path / "tools", lambda _: None)


def test_a_fetched_alertmanager_reads_its_templates_beside_itself(tmp_path: Path) -> None:
    program = _program(tmp_path / "usr/bin/alertmanager", "before/usr/share/prometheus/alertmanager/default.tmpl")
    relocate(program)
    held = program.read_text(encoding="utf-8")
    assert len(held) == len("before/usr/share/prometheus/alertmanager/default.tmpl")
    template = tmp_path / "usr" / "share/prometheus/alertmanager/default.tmpl"
    template.parent.mkdir(parents=True)
    template.touch()
    at = working_directory(program, tmp_path)
    assert (at / held.removeprefix("before")).samefile(template)


def test_another_alertmanager_starts_where_it_is_told(tmp_path: Path) -> None:
    assert working_directory(tmp_path / "bin/alertmanager", tmp_path) == tmp_path


@pytest.mark.slow
def test_a_real_fetch(tmp_path: Path) -> None:
    try:
        found = fetch(tmp_path / "tools", lambda _: None)
    except MonitoringUnavailable as error:
        pytest.skip(f"no package mirror here: {error}")
    assert found.amtool.is_file()
    config = tmp_path / "alertmanager.yml"
    config.write_text("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n", encoding="utf-8")
    with pytest.raises(subprocess.TimeoutExpired) as running:
        subprocess.run(
            [
                found.alertmanager,
                f"--config.file={config}",
                f"--storage.path={tmp_path / 'data'}",
                "--cluster.listen-address=",
                "--web.listen-address=127.0.0.1:0",
            ],
            cwd=working_directory(found.alertmanager, tmp_path),
            capture_output=True,
            timeout=3,
            check=False,
        )
    # One that cannot read its templates ends at once.
    assert b"Completed loading of configuration file" in (running.value.stderr or b"")
