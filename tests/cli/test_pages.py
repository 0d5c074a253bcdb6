"""What the pages on playbooks and load show loads without a problem, and names everything there is."""

from __future__ import annotations

import re
from pathlib import Path

from tests.cli.support import ROOT, copied_catalogue
from tierdrill.cli.drill_documents import whole_catalogue
from tierdrill.documents.catalogue_reader import load_catalogue
from tierdrill.documents.models.drill import Expect, Invariants
from tierdrill.documents.models.tiers import Objectives, Tier
from tierdrill.targets.target_registry import absent_in


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_playbooks_shown_are_playbooks(tmp_path: Path) -> None:
    root = copied_catalogue(tmp_path)
    own, external = (one for one in blocks("playbooks.md", "yaml") if "kind: Playbook" in one)
    (root / "playbooks" / "move-off-lost-node.yaml").write_text(own, encoding="utf-8")
    (root / "playbooks" / "shift-traffic.yaml").write_text(external, encoding="utf-8")
    playbooks = whole_catalogue(root).playbooks
    assert playbooks["move-off-lost-node"].steps
    assert playbooks["shift-traffic"].engine == "external"


def test_the_tool_shown_is_a_program() -> None:
    (program,) = blocks("playbooks.md", "python")
    compile(program, "tool.py", "exec")


def test_the_load_shown_is_a_load(tmp_path: Path) -> None:
    root = copied_catalogue(tmp_path)
    drill = root / "drills" / "replica-crash.yaml"
    shared = (root / "drills/platform/templates.yaml").read_text(encoding="utf-8")
    others = shared[shared.index("    - {name: enterprise-chat") : shared.index("  lag_p99_max:")]
    (shown,) = blocks("load.md", "yaml")
    head, tail = shown.split("  connections_max", 1)
    text = drill.read_text(encoding="utf-8")
    drill.write_text(re.sub("load: .*\n", head + others + "  connections_max" + tail, text), encoding="utf-8")
    stream = whole_catalogue(root).drills["replica-crash"].load.streams[0]
    assert (stream.shape.kind, stream.streaming) == ("spike", 0.5)


def test_every_field_of_a_tier_and_of_what_is_expected_is_named() -> None:
    page = (ROOT / "docs" / "writing-a-drill.md").read_text(encoding="utf-8")
    fields = {*Tier.model_fields, *Objectives.model_fields, *Expect.model_fields, *Invariants.model_fields} - {"name"}
    assert sorted(name for name in fields if f"`{name}`" not in page and f"`{name}:" not in page) == []


def test_the_drill_of_ten_lines_is_one_with_any_experiment(tmp_path: Path) -> None:
    (text,) = (block for block in blocks("writing-a-drill.md", "yaml") if "kind: Drill" in block)
    assert text.count("\n") == 10
    root = copied_catalogue(tmp_path)
    experiments = load_catalogue(root, unused=False)[0].experiments
    for number, name in enumerate(experiments):
        other = text.replace("replica/crash", name).replace("my-drill", f"my-drill-{number}")
        # Which of its streams is another one than usual, only the drill can say.
        variables = "variables: {stream: paying}" if name.startswith("load/") else "variables: {}"
        wide = name in ("node/two-power-losses", "router/retry-storm")
        where = "lab-wide" if wide else "lab-state" if name.startswith("state/") else "lab"
        other = other.replace("environment: lab\n", f"environment: {where}\n")
        (root / "drills" / f"my-drill-{number}.yaml").write_text(re.sub(r"variables: .*", variables, other))
    (root / "drills" / "my-drill.yaml").write_text(text)
    catalogue, problems = load_catalogue(root, absent=absent_in)
    assert problems == []
    assert {one.experiment for name, one in catalogue.drills.items() if name.startswith("my-")} == set(experiments)
