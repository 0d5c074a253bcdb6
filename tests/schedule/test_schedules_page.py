"""The examples of docs/schedules.md on notifications and rollouts are documents without a problem."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from tests.cli.support import ROOT, copied_catalogue
from tierdrill.cli.drill_documents import whole_catalogue

PAGE = (ROOT / "docs" / "schedules.md").read_text(encoding="utf-8")


def example(heading: str) -> str:
    """The first indented block of a section, as it would stand in a file."""
    section = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    block = re.search(r"\n\n((?:    [^\n]*\n)+)", section)
    assert block is not None
    return textwrap.dedent(block[1])


def test_what_the_page_shows_loads(tmp_path: Path) -> None:
    root = copied_catalogue(tmp_path)
    text = "apiVersion: tierdrill/v1\nkind: Calendar\nmetadata: {name: shown, owner: team-serving-core}\n"
    text += example("Notifications") + "entries:\n" + textwrap.indent(example("Staged rollouts"), "  ")
    (root / "drills" / "calendars" / "nightly.yaml").write_text(text, encoding="utf-8")
    calendar = whole_catalogue(root).calendars["shown"]
    entry = calendar.entry("node-loss")
    assert [channel.type for channel in calendar.channels] == ["slack", "pagerduty", "email", "webhook"]
    assert [channel.name for channel in calendar.channels_of(entry)] == ["chat", "oncall"]
    assert entry.rollout is not None
    assert [stage.name for stage in entry.rollout.stages] == ["twin", "pilot", "all"]
