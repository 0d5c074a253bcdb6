"""Finding Prometheus, Alertmanager and etcd, and fetching them where they are not installed, as root or as anybody.

Found in this order: a variable (TIERDRILL_PROMETHEUS=/path), the tools folder, PATH. Fetching unpacks Debian's
packages into the tools folder by apt's download with private directories: nothing is installed, no service starts, no
root is needed. Only package lists whose signature apt has verified are used, whatever the machine's apt would allow,
and each package must have the SHA-256 that they give; both are said.
"""

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tierdrill.text import Explained, plural

NAMES: Mapping[str, tuple[str, ...]] = {
    "prometheus": ("prometheus",),
    "alertmanager": ("prometheus-alertmanager", "alertmanager"),
    "promtool": ("promtool",),
    "amtool": ("amtool",),
}
"""Programs that every lab needs, by the names they go by: Debian's first, upstream's second."""

ETCD = "etcd"
"""Of labs with a state store alone; it goes by one name."""

PACKAGES = ("prometheus", "prometheus-alertmanager")
ETCD_PACKAGE = "etcd-server"
UPDATE_TIMEOUT_S = 120.0
DOWNLOAD_TIMEOUT_S = 300.0
UNPACK_TIMEOUT_S = 60.0
APT_LOCAL_TIMEOUT_S = 60.0
APT_NETWORK_TIMEOUT_S = 20
DPKG_STATUS = Path("/var/lib/dpkg/status")
TEMPLATES = Path("share/prometheus/alertmanager")
"""Where Debian's Alertmanager has its notification templates, below /usr or below the tools' usr."""

# Debian's build reads its templates from this absolute path, and no option says otherwise. Of the same length, the
# second one leads there from the working directory, whatever that is (conda relocates programs in the same way).
_BUILT_IN = b"/usr/share/prometheus/alertmanager"
_RELATIVE = b".////share/prometheus/alertmanager"

BY_HAND = (
    "install Prometheus and Alertmanager yourself (Debian, Ubuntu: apt-get install prometheus"
    " prometheus-alertmanager), or name the programs with"
    " TIERDRILL_PROMETHEUS, TIERDRILL_ALERTMANAGER, TIERDRILL_PROMTOOL and TIERDRILL_AMTOOL"
)


class MonitoringUnavailable(Explained, RuntimeError):
    """Prometheus or Alertmanager is not here and could not be had; the message says what was tried and what to do."""


@dataclass(frozen=True)
class Binaries:
    prometheus: Path
    alertmanager: Path
    promtool: Path
    amtool: Path


def locate(program: str, tools: Path | None = None, env: Mapping[str, str] | None = None) -> Path | None:
    """Where a program is, or None. A variable that names something that cannot be run is an error, not a miss."""
    settings = os.environ if env is None else env
    variable = f"TIERDRILL_{program.upper()}"
    if named := settings.get(variable):
        if not os.access(named, os.X_OK) or Path(named).is_dir():
            raise MonitoringUnavailable(f"{variable} names {named}, which is not a program that can be run")
        return Path(named).absolute()
    folders = [str(tools / "usr" / "bin")] if tools is not None else []
    # An empty entry of PATH means the current folder: never search that.
    folders += [folder for folder in settings.get("PATH", os.defpath).split(os.pathsep) if folder]
    search = os.pathsep.join(folders)
    for name in NAMES.get(program, (program,)) if search else ():
        if found := shutil.which(name, path=search):
            return Path(found).absolute()
    return None


def find(tools: Path | None = None, env: Mapping[str, str] | None = None) -> Binaries | None:
    """All four programs, or None if any is missing."""
    paths = {program: locate(program, tools, env) for program in NAMES}
    if None in paths.values():
        return None
    return Binaries(**{program: path for program, path in paths.items() if path is not None})


def require(tools: Path | None = None, env: Mapping[str, str] | None = None) -> Binaries:
    """All four programs; MonitoringUnavailable names those that are missing."""
    if (found := find(tools, env)) is not None:
        return found
    missing = [program for program in NAMES if locate(program, tools, env) is None]
    raise MonitoringUnavailable(f"not found: {', '.join(missing)}; {BY_HAND}")


def require_etcd(tools: Path | None = None, env: Mapping[str, str] | None = None) -> Path:
    """Where etcd is; MonitoringUnavailable says what to do where it is not."""
    if (found := locate(ETCD, tools, env)) is None:
        raise MonitoringUnavailable(
            "a lab with a state store needs etcd, which was not found; install it yourself (Debian, Ubuntu: apt-get"
            f" install {ETCD_PACKAGE}), or name the program with TIERDRILL_ETCD"
        )
    return found


def fetch(tools: Path, progress: Callable[[str], None]) -> Binaries:
    """Fetch into the tools folder and return what is there. All or nothing: an interrupted fetch leaves the folder as
    it was.
    """
    _fetch(PACKAGES, NAMES, tools, progress)
    return require(tools)


def fetch_etcd(tools: Path, progress: Callable[[str], None]) -> None:
    """As `fetch`, for etcd; where its package cannot be had, that is told alone, for only few drills need it."""
    try:
        _fetch((ETCD_PACKAGE,), {ETCD: (ETCD,)}, tools, progress)
    except MonitoringUnavailable as error:
        progress(f"no etcd, and no drills of the state store: {str(error).removesuffix(f'; {BY_HAND}')}")


def _fetch(
    wanted: Sequence[str], programs: Mapping[str, Sequence[str]], tools: Path, progress: Callable[[str], None]
) -> None:
    for command in ("apt-get", "dpkg-deb"):
        if shutil.which(command) is None:
            raise MonitoringUnavailable(f"cannot fetch {wanted[0]}: {command} is not on this machine; {BY_HAND}")
    if not DPKG_STATUS.exists():
        raise MonitoringUnavailable(f"cannot fetch {wanted[0]}: {DPKG_STATUS} is not on this machine; {BY_HAND}")
    tools.mkdir(parents=True, exist_ok=True)
    # Beside the target, so that the last step is a rename; private, so that two fetches do not meet.
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=tools) as scratch:
        _fetch_into(Path(scratch), wanted, programs, tools, progress)


def _fetch_into(
    scratch: Path,
    wanted: Sequence[str],
    programs: Mapping[str, Sequence[str]],
    tools: Path,
    progress: Callable[[str], None],
) -> None:
    apt = ["apt-get", "-q", *_private_apt(scratch)]
    began = time.monotonic()
    progress("reading the package lists")
    # apt calls an update a success when it could reach nothing: what it said then explains the download's failure.
    warnings = _run([*apt, "update"], scratch, UPDATE_TIMEOUT_S).stderr
    progress(f"downloading {' and '.join(wanted)}")
    _run([*apt, "download", *wanted], scratch, DOWNLOAD_TIMEOUT_S, before=warnings)
    packages = sorted(scratch.glob("*.deb"))
    for package in packages:
        name = package.name.partition("_")[0]
        listed = _run(["apt-cache", *apt[2:], "show", name], scratch, APT_LOCAL_TIMEOUT_S).stdout
        progress(f"{package.name}: SHA-256 {verified(package, listed)}, as in lists whose signature apt verified")
    size = sum(package.stat().st_size for package in packages) / 1e6
    progress(f"unpacking {plural(len(packages), 'package')} ({size:.0f} MB)")
    root = scratch / "root"
    for package in packages:
        _run(["dpkg-deb", "-x", str(package), str(root)], scratch, UNPACK_TIMEOUT_S)
    binaries = root / "usr" / "bin"
    if any(locate(program, root, {"PATH": ""}) is None for program in programs):
        held = f"the packages {', '.join(wanted)} hold not all of {', '.join(programs)}"
        raise MonitoringUnavailable(f"{held}; {BY_HAND}")
    for name in NAMES["alertmanager"]:
        if (binaries / name).is_file():
            relocate(binaries / name)
    target = tools / "usr" / "bin"
    target.mkdir(parents=True, exist_ok=True)
    if (templates := root / "usr" / TEMPLATES).is_dir():
        # Before the programs: a fetch that ends here is done again, as they are what is looked for.
        shutil.copytree(templates, tools / "usr" / TEMPLATES, dirs_exist_ok=True)
    for names in programs.values():
        for name in names:
            if (binaries / name).is_file():
                (binaries / name).replace(target / name)
    progress(f"{' and '.join(wanted)}: unpacked into {target} ({time.monotonic() - began:.0f} s)")


def verified(package: Path, listed: str) -> str:
    """The SHA-256 of a downloaded package; MonitoringUnavailable unless `listed` (apt-cache's records) has it."""
    with package.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    known = re.findall(r"^SHA256: ([0-9a-f]{64})$", listed, re.MULTILINE)
    if found not in known:
        expected = " or ".join(known) or "one in the package lists"
        raise MonitoringUnavailable(f"{package.name}: SHA-256 is {found}, expected {expected}; {BY_HAND}")
    return found


def relocate(program: Path) -> None:
    """Let a fetched Alertmanager read its templates below its working directory: see `working_directory`."""
    held = program.read_bytes()
    if _BUILT_IN in held:
        program.write_bytes(held.replace(_BUILT_IN, _RELATIVE))


def working_directory(alertmanager: Path, otherwise: Path) -> Path:
    """Where to start an Alertmanager: beside the templates that were fetched with it, if it was fetched."""
    usr = alertmanager.parent.parent
    return usr if (usr / TEMPLATES).is_dir() else otherwise


def _private_apt(scratch: Path) -> list[str]:
    """Options that keep apt out of the system's state. Its sources and keys stay the system's: they are what is
    trusted.
    """
    for folder in ("state/lists/partial", "cache/archives/partial", "log"):
        (scratch / folder).mkdir(parents=True)
    options = {
        "Dir::State": scratch / "state",
        "Dir::State::status": DPKG_STATUS,
        "Dir::Cache": scratch / "cache",
        "Dir::Log": scratch / "log",
        # As root, apt would drop to the user _apt, who cannot write into a private folder.
        "APT::Sandbox::User": "",
        # Only what is signed, even on a machine whose apt was told to take anything.
        "APT::Get::AllowUnauthenticated": "false",
        "Acquire::AllowInsecureRepositories": "false",
        "Acquire::AllowDowngradeToInsecureRepositories": "false",
        "Acquire::AllowWeakRepositories": "false",
        "Acquire::Languages": "none",
        "Acquire::Retries": 1,
        "Acquire::http::Timeout": APT_NETWORK_TIMEOUT_S,
        "Acquire::https::Timeout": APT_NETWORK_TIMEOUT_S,
        # Hooks of the system's apt (other tools' news and locks) do not concern a private one.
        "APT::Update::Post-Invoke": "",
        "APT::Update::Post-Invoke-Success": "",
    }
    return [part for name, value in options.items() for part in ("-o", f"{name}={value}")]


def _run(
    command: Sequence[str], cwd: Path, timeout_s: float, before: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run one command; MonitoringUnavailable where it fails. `before` is what an earlier one said, for the message."""
    shown = " ".join(part for part in command if part != "-o" and "=" not in part)
    env = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            list(command),
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise MonitoringUnavailable(f"`{shown}` did not end within {timeout_s:g} s; {BY_HAND}") from error
    except OSError as error:
        raise MonitoringUnavailable(f"`{shown}` could not be started: {error}; {BY_HAND}") from error
    if done.returncode != 0:
        said = [line.strip() for line in f"{before}\n{done.stderr or done.stdout}".splitlines() if line.strip()]
        message = " / ".join(said[-4:]) or "no message"
        raise MonitoringUnavailable(f"`{shown}` failed ({done.returncode}): {message}; {BY_HAND}")
    return done
