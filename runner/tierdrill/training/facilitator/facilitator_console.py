"""The facilitator's terminal, apart from typing and printing: what a line means, and how the truth looks. Pure.

Standard library only, so that the terminal is there at once.
"""

import shlex
import textwrap
from collections.abc import Mapping
from typing import Any

from tierdrill.text import Explained
from tierdrill.training.columns import clock, columns, percent

TEXT_WIDTH = 100
HELP = """\
(empty line)             what is really happening
inject NAME              one of the scenario's injects
fault KIND key=value...  a second fault, such as: fault replica-crash replica=draft-0
message TEXT             send a message to the trainee; `message @SENDER TEXT` in somebody's name
clue NODE GPU XID        a harmless XID line
hint [COST] TEXT         a hint; costs 5 points unless said otherwise
pause, resume            pause and resume the exercise
end [WHY]                end the exercise
json                     everything as JSON
quit                     leave this terminal; the exercise continues, and your token lets you back"""


class BadLine(Explained, ValueError):
    """A line that is no command; the message says what is allowed."""


def understood(line: str) -> tuple[str, dict[str, Any]]:
    """The question that a line asks; BadLine if it is none."""
    word, _, rest = line.strip().partition(" ")
    rest = rest.strip()
    if word in ("", "truth", "t"):
        return "truth", {}
    if word in ("pause", "resume"):
        return word, {}
    if word == "end":
        return "end", {"why": rest}
    if word == "inject":
        return "inject", {"name": rest}
    if word == "message":
        sender, text = _sender(rest)
        return "message", {"text": text, "sender": sender}
    if word == "hint":
        cost, _, text = rest.partition(" ")
        return ("hint", {"cost": int(cost), "text": text}) if cost.isdecimal() else ("hint", {"text": rest})
    if word == "clue":
        return "clue", _clue(rest)
    if word == "fault":
        return "fault", _fault(rest)
    raise BadLine(
        f"got {word!r}, expected inject, fault, message, clue, hint, pause, resume, end, json, quit, help"
    )


def _sender(text: str) -> tuple[str, str]:
    if not text.startswith("@"):
        return "facilitator", text
    name, _, rest = text[1:].partition(" ")
    return name, rest.strip()


def _clue(rest: str) -> dict[str, Any]:
    words = rest.split()
    if len(words) != 3 or not words[1].isdecimal() or not words[2].isdecimal():
        raise BadLine(f"clue: got {rest!r}, expected a node, a GPU's index and an XID, such as: clue node-1 0 45")
    return {"node": words[0], "gpu": int(words[1]), "xid": int(words[2])}


def _fault(rest: str) -> dict[str, Any]:
    try:
        words = shlex.split(rest)
    except ValueError as error:
        raise BadLine(str(error)) from error
    if not words or any("=" not in word for word in words[1:]):
        raise BadLine(
            f"fault: got {rest!r}, expected a kind and key=value, such as: fault node-power-loss node=node-2"
        )
    pairs = (word.partition("=") for word in words[1:])
    return {
        "fault": words[0],
        "parameters": {key: int(value) if value.isdecimal() else value for key, _, value in pairs},
    }


def show(truth: Mapping[str, Any]) -> str:
    paused = ", PAUSED" if truth["paused"] else ""
    parts = [
        f"{truth['exercise']}  {clock(truth['elapsed_s'])} of {clock(truth['duration_s'])}{paused}",
        f"{truth['scenario']}: {truth['title']}; automation {truth['automation']}",
        textwrap.fill(truth["truth"], TEXT_WIDTH),
        "",
        columns(
            ("incident", "at", "fault", "targets", "happened"), [_incident(one, truth) for one in truth["incidents"]]
        ),
    ]
    extra = [one for one in truth["happened"] if one["incident"] not in {each["name"] for each in truth["incidents"]}]
    if extra:
        parts.append("also injected: " + "; ".join(f"{one['fault']} on {', '.join(one['targets'])}" for one in extra))
    parts += ["", columns(("tier", "promise", "rate", "ok", "missed"), [_tier(one) for one in truth["tiers"]])]
    pages = [one for one in truth["pages"] if one["state"] != "resolved"]
    parts += [
        "",
        "open pages: " + ("; ".join(f"{one['id']} {one['summary']} ({one['state']})" for one in pages) or "none"),
    ]
    parts += ["", "the trainee, lately:", *([_deed(one) for one in _deeds(truth)[-10:]] or ["  nothing yet"])]
    if truth["injects"]:
        parts += ["", "injects: " + "; ".join(f"{one['name']} ({one['kind']})" for one in truth["injects"])]
    if truth["not_relieved"]:
        parts.append(f"not over: {truth['not_relieved']}")
    return "\n".join(parts)


def _incident(one: Mapping[str, Any], truth: Mapping[str, Any]) -> tuple[Any, ...]:
    done = next((each for each in truth["happened"] if each["incident"] == one["name"]), None)
    targets = ", ".join(done["targets"]) if done else "; ".join(str(each) for each in one["parameters"])
    return one["name"], clock(one["at"]), one["fault"], targets, bool(done)


def _tier(one: Mapping[str, Any]) -> tuple[Any, ...]:
    kept = {True: "kept", False: "MISSED", None: "no data"}[one["kept"]]
    return one["tier"], kept, f"{one['rate_rps']:g}/s", percent(one["availability"]), "; ".join(one["missed"])


def _deeds(truth: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [one for one in truth["deeds"] if str(one["kind"]).startswith("trainee.")]


def _deed(one: Mapping[str, Any]) -> str:
    what = str(one["kind"]).removeprefix("trainee.")
    words = [str(one[key]) for key in ("action", "target", "cause", "text", "what", "subject", "seen") if one.get(key)]
    return f"  {clock(one['elapsed_s'])}  {what}: {' '.join(words)}"
