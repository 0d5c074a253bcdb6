"""Makes the environment tierdrill runs in: a venv from the lock files, the package, Prometheus with Alertmanager.

Started by ./drill and ./test when theirs is missing or out of date. Needs only the standard library; shows what it
does, and leaves a stamp at the very end, so that a set-up that was interrupted is done again.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
LOCKS = {"run": ("requirements.lock",), "dev": ("requirements.lock", "requirements-dev.lock")}


class SetupError(Exception):
    """A step failed; the message says which and why."""


class Progress:
    """One line that grows on a terminal, a few lines elsewhere."""

    def __init__(self, caller: str) -> None:
        self._caller = caller
        self._terminal = sys.stderr.isatty()
        self._shown = 0.0

    def step(self, text: str) -> None:
        """Something new begins."""
        self._clear()
        sys.stderr.write(f"{self._caller}: {text}\n")
        sys.stderr.flush()

    def detail(self, text: str) -> None:
        """How far it is; on a terminal only, or every few seconds elsewhere."""
        if self._terminal:
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write(f"\r\x1b[K  {text}"[: width + 4])
        elif time.monotonic() - self._shown > 5:
            self._shown = time.monotonic()
            sys.stderr.write(f"  {text}\n")
        sys.stderr.flush()

    def _clear(self) -> None:
        if self._terminal:
            sys.stderr.write("\r\x1b[K")

    def end(self) -> None:
        """Leave a clean line."""
        self._clear()
        sys.stderr.flush()


@contextmanager
def alone(venv: Path, progress: Progress) -> Iterator[None]:
    """Only one set-up of an environment at a time; a second one waits, and then finds it done."""
    venv.parent.mkdir(parents=True, exist_ok=True)
    # The folder itself is locked, so that no lock file is left in the checkout; the kernel lets go when we die.
    folder = os.open(venv.parent, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.step("another set-up of this checkout is under way: waiting for it")
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def run(command: Sequence[str | Path], what: str, progress: Progress, total: int = 0, told: bool = True) -> None:
    """Run a step, its progress shown where it is `told`; SetupError with its last lines if it fails."""
    # Some machines tell Python to write no bytecode; an environment is written once and started often.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PYTHONUNBUFFERED": "1"}
    lines: list[str] = []
    seen = 0
    with subprocess.Popen(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment,
        cwd=REPOSITORY,
    ) as process:
        for line in process.stdout or ():
            lines = [*lines[-40:], line.rstrip()]
            if line.startswith("Collecting "):
                seen += 1
                progress.detail(f"{seen} of {total}: {line.split()[1]}")
            elif line.startswith("Installing collected packages"):
                progress.detail(f"unpacking {total} packages")
            elif told and not total and not line.startswith("WARNING:"):
                progress.detail(line.strip())
    if process.returncode != 0:
        progress.end()
        sys.stderr.write("\n".join(f"  | {line}" for line in lines[-12:]) + "\n")
        raise SetupError(f"{what} failed (exit {process.returncode}): see above; run it again once that is mended")


def works(venv: Path) -> bool:
    """Whether this venv is one, still in its place, with a Python that is new enough."""
    probe = "import sys; print(sys.prefix); sys.exit(sys.version_info < (3, 11))"
    try:
        answer = subprocess.run(
            [venv / "bin" / "python", "-c", probe], capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    # The programs in a venv name its folder: one that was moved with its checkout must be made anew.
    try:
        in_place = str(venv) in (venv / "bin" / "activate").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return in_place and answer.returncode == 0 and Path(answer.stdout.strip()).resolve() == venv.resolve()


def make_venv(venv: Path, uv: str | None, progress: Progress) -> None:
    """A venv with this Python; one that works is kept."""
    if works(venv):
        return
    if venv.exists():
        shutil.rmtree(venv)
    if uv:
        run([uv, "venv", "--quiet", "--python", sys.executable, venv], "making the environment", progress)
    else:
        run([sys.executable, "-m", "venv", venv], "making the environment", progress)


def install(venv: Path, kind: str, uv: str | None, progress: Progress) -> None:
    """The locked packages, then this checkout beside them, then its bytecode."""
    locks = [REPOSITORY / name for name in LOCKS[kind]]
    total = sum("==" in line for lock in locks for line in lock.read_text().splitlines())
    # Wheels only, each with a hash of the lock file's: no package's code runs at set-up, and none was replaced.
    # They name all that is needed, so nothing is resolved: jsonpath2 asks for a release of ANTLR that has no wheel, and
    # works with the locked one.
    wanted = ["--no-deps", "--require-hashes", "--only-binary", ":all:"]
    wanted += [part for lock in locks for part in ("-r", str(lock))]
    python = venv / "bin" / "python"
    checkout = ["--no-deps", "--no-build-isolation", "-e", str(REPOSITORY)]
    progress.step(f"installing {total} packages into {venv}")
    if uv:
        base: list[str | Path] = [uv, "pip", "install", "--python", python]
        run([*base, "--compile-bytecode", *wanted], "installing the packages", progress)
        run([*base, "--quiet", *checkout], "installing tierdrill", progress)
    else:
        if not (venv / "bin" / "pip").exists():
            run([python, "-m", "ensurepip", "--upgrade"], "installing pip", progress)
        base = [python, "-m", "pip", "install"]
        run([*base, "--compile", *wanted], "installing the packages", progress, total)
        run([*base, "--quiet", *checkout], "installing tierdrill", progress)
    if os.access(REPOSITORY / "runner", os.W_OK):
        run([python, "-m", "compileall", "-q", REPOSITORY / "runner"], "compiling tierdrill", progress)


def main() -> int:
    """Entry; exit 0, or 2 with one line that says what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--caller", default="setup")
    parser.add_argument("--venv", type=Path, required=True)
    parser.add_argument("--kind", choices=sorted(LOCKS), default="run")
    parser.add_argument("--stamp", required=True)
    options = parser.parse_args()
    os.umask(os.umask(0o077) | 0o022)  # what is run later is written by nobody else
    venv: Path = options.venv.absolute()
    stamps = [venv / f".tierdrill-{kind}" for kind in (("run",) if options.kind == "run" else ("run", "dev"))]
    progress = Progress(options.caller)
    try:
        with alone(venv, progress):
            if all(stamp.exists() and stamp.read_text().strip() == options.stamp for stamp in stamps):
                return 0
            began = time.monotonic()
            progress.step("setting up (once)")
            uv = shutil.which("uv")
            make_venv(venv, uv, progress)
            install(venv, options.kind, uv, progress)
            command = venv / "bin" / "tierdrill"
            if os.access(REPOSITORY / "drills", os.W_OK):
                run([command, "schema", "--write", "drills/schema"], "writing the schemas", progress, told=False)
            run([command, "doctor", "--fetch", "--quiet"], "fetching Prometheus", progress)
            for stamp in stamps:
                stamp.write_text(options.stamp + "\n")
            progress.step(f"set up in {time.monotonic() - began:.0f} s")
    except SetupError as error:
        progress.end()
        sys.stderr.write(f"{options.caller}: {error}\n")
        return 2
    except OSError as error:
        progress.end()
        elsewhere = "TIERDRILL_VENV names another folder for the environment"
        sys.stderr.write(f"{options.caller}: {error.filename}: {error.strerror}; {elsewhere}\n")
        return 2
    except KeyboardInterrupt:
        progress.end()
        sys.stderr.write(f"{options.caller}: set-up interrupted; the next start goes on with it\n")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
