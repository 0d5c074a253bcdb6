"""Chaos Toolkit's own check of experiments, in a process of its own: it imports every module that they name.

What is missing on this machine (an extension, a program, a variable of the environment, a vault) is no fault of the
experiment's: it is told, and the rest is checked. Nothing is run and nobody is asked.

Started as `python -P -m tierdrill.documents.reading.chaoslib_check`: a list of experiments as JSON on stdin, a list of
answers on stdout, each `{"refused": text or null, "missing": [[path, what], ...]}`.
"""

import contextlib
import copy
import importlib
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tierdrill.process.programs import Program, program

WITHIN_S = 30.0
# What an extension needs to be found and imported; the rest of the environment is nobody's business here.
KEPT = ("PATH", "PYTHONPATH", "HOME", "LANG", "LC_ALL", "TMPDIR")
PRESENT = {"type": "http", "url": "http://127.0.0.1/"}

Path = list[str | int]


@dataclass(frozen=True)
class Answer:
    """What Chaos Toolkit says: why it refuses the experiment (None: it takes it), and what is missing here, and where.

    `asked` is False where it could not be asked; `refused` says why not.
    """

    refused: str | None
    missing: tuple[tuple[tuple[str | int, ...], str], ...] = ()
    asked: bool = True


_answers: dict[str, Answer] = {}


def ask(experiments: Sequence[dict[str, Any]]) -> list[Answer]:
    """Chaos Toolkit's answer on each experiment; one that was asked about before is not asked again."""
    texts = [json.dumps(one, sort_keys=True) for one in experiments]
    if new := [text for text in dict.fromkeys(texts) if text not in _answers]:
        _answers.update(zip(new, _answers_on(new), strict=True))
    return [_answers[text] for text in texts]


def _answers_on(texts: Sequence[str]) -> list[Answer]:
    try:
        done = subprocess.run(
            program(Program.EXTENSION_CHECK),
            input=f"[{','.join(texts)}]".encode(),
            capture_output=True,
            timeout=WITHIN_S,
            env={name: os.environ[name] for name in KEPT if name in os.environ},
            check=False,
        )
        found = json.loads(done.stdout)
        return [
            Answer(one["refused"], tuple((tuple(path), str(what)) for path, what in one["missing"])) for one in found
        ]
    except subprocess.TimeoutExpired:
        why = f"it did not end within {WITHIN_S:g} s"
    except (OSError, ValueError, KeyError, TypeError):
        why = "it ended without an answer: an extension may have ended it"
    if len(texts) > 1:
        # One of them is to blame; the others get their answer.
        return [answer for text in texts for answer in _answers_on([text])]
    return [Answer(why, asked=False)]


def answer_on(experiment: dict[str, Any]) -> dict[str, Any]:
    """The answer on one experiment, as it is written to stdout."""
    from chaoslib.exceptions import ChaosException
    from chaoslib.experiment import ensure_experiment_is_valid

    experiment = copy.deepcopy(experiment)
    missing: list[tuple[Path, str]] = []
    try:
        for path, activity in _activities(experiment):
            _without_what_is_missing(path, activity, missing)
        _with_values(experiment)
        ensure_experiment_is_valid(experiment)
    except ChaosException as error:
        return {"refused": str(error), "missing": missing}
    except Exception as error:
        # It checks less than it relies on.
        return {"refused": f"its check ends in {type(error).__name__}: {error}", "missing": missing}
    return {"refused": None, "missing": missing}


def _activities(experiment: dict[str, Any]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every activity that is checked, and where it stands: also a probe that is the tolerance of another."""
    for section in ("method", "rollbacks"):
        for number, one in enumerate(_list(experiment.get(section))):
            yield [section, number], one
    hypothesis = experiment.get("steady-state-hypothesis")
    probes = hypothesis.get("probes") if isinstance(hypothesis, dict) else None
    for number, one in enumerate(_list(probes)):
        yield ["steady-state-hypothesis", "probes", number], one
        if isinstance(one.get("tolerance"), dict):
            yield ["steady-state-hypothesis", "probes", number, "tolerance"], one["tolerance"]


def _list(value: Any) -> list[dict[str, Any]]:
    return [one if isinstance(one, dict) else {} for one in value] if isinstance(value, list) else []


def _without_what_is_missing(path: Path, activity: dict[str, Any], missing: list[tuple[Path, str]]) -> None:
    provider = activity.get("provider")
    if not isinstance(provider, dict):
        return
    kind, module, program = provider.get("type"), provider.get("module"), provider.get("path")
    if kind == "python" and isinstance(module, str) and module and isinstance(provider.get("func"), str):
        why = _cannot_import(module)
        if why:
            missing.append(([*path, "provider", "module"], f"{module} cannot be imported here: {why}"))
            activity["provider"] = dict(PRESENT)
    elif kind == "process" and isinstance(program, str) and program and shutil.which(program) is None:
        if "${" not in program:
            missing.append(([*path, "provider", "path"], f"no program {program} here"))
        provider["path"] = sys.executable


def _cannot_import(module: str) -> str:
    try:
        importlib.import_module(module)
    except BaseException as error:
        return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return ""


def _with_values(experiment: dict[str, Any]) -> None:
    """Give a value to what comes from the environment, and take away what would be asked of a vault."""
    configuration = experiment.get("configuration")
    for one in configuration.values() if isinstance(configuration, dict) else ():
        _give(one)
    secrets = experiment.get("secrets")
    for group in secrets.values() if isinstance(secrets, dict) else ():
        _give(group)
        for name, one in group.items() if isinstance(group, dict) else ():
            _give(one)
            if isinstance(one, dict) and one.get("type") == "vault":
                group[name] = ""
    if isinstance(secrets, dict):
        for name, group in secrets.items():
            if isinstance(group, dict) and group.get("type") == "vault":
                secrets[name] = {}


def _give(value: Any) -> None:
    if isinstance(value, dict) and value.get("type") == "env" and isinstance(value.get("key"), str):
        with contextlib.suppress(ValueError, OSError):
            os.environ.setdefault(value["key"], "1")


def main() -> int:
    # What a module prints when it is imported is no answer.
    answers, sys.stdout = sys.stdout, io.StringIO()
    json.dump([answer_on(one) for one in json.load(sys.stdin)], answers)
    answers.flush()
    # An extension's threads must not keep it.
    os._exit(0)


if __name__ == "__main__":
    main()
