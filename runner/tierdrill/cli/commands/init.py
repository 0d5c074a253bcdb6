"""`tierdrill init`: a catalogue of one's own, as a copy of the shipped one to change."""

import os
import re
import shutil
from pathlib import Path, PurePath

import click

from tierdrill.cli.errors import Refusal
from tierdrill.cli.folders import FOLDERS, shipped_catalogue
from tierdrill.text import plural

_KIND = re.compile(r"^kind:\s*([A-Za-z]+)\s*$", re.MULTILINE)
ENDINGS = (".yaml", ".yml", ".json", ".jsonl", ".ics")
README = """\
# Drills of this platform

Made by `tierdrill init` as a copy of the documents that come with tierdrill. Make them yours, from the inside out:

1. `drills/platform/tiers.yaml`: your tiers, their objectives, who is called.
2. `drills/platform/workloads.yaml`: your models and which request belongs to which tier.
3. `drills/platform/lab.yaml`: the environment, and how far a fault may reach in it.
4. `playbooks/`: your remediation, or the automation you already run (`engine: external`).
5. `drills/*.yaml` and `experiments/`: what to break, under what load, and what must hold.
6. `drills/calendars/`: when they run by themselves, and when not.

`tierdrill validate` finds every problem, `tierdrill plan DRILL` shows what would happen, `tierdrill run DRILL` does it
and `tierdrill prove DRILL` shows that the drill can fail. In this folder tierdrill uses these documents, elsewhere with
`--catalogue`. `drills/schema/` is for editors; `tierdrill schema --write drills/schema` makes it again.
"""


@click.command("init")
@click.argument("folder", required=False, default=".", type=click.Path(path_type=Path, file_okay=False))
def command(folder: Path) -> None:
    """Create a catalogue in FOLDER (default: the current folder).

    A copy of the shipped documents with their comments, and schemas for editors. Existing files are never overwritten.
    """
    from tierdrill.documents.catalogue import SCHEMAS
    from tierdrill.documents.reading.json_schema import write_schemas

    taken = [folder / name for name in (*FOLDERS, "README.md") if (folder / name).exists()]
    if taken:
        there = ", ".join(map(str, taken))
        raise Refusal(f"{there} already exists; nothing is overwritten")
    folder.mkdir(parents=True, exist_ok=True)
    # Made aside and then moved: what cannot be finished is not there.
    draft = folder / f".tierdrill-init.{os.getpid()}"
    try:
        count = _copy(shipped_catalogue(), draft)
        write_schemas(draft / SCHEMAS)
        (draft / "README.md").write_text(README, encoding="utf-8")
        for name in (*FOLDERS, "README.md"):
            (draft / name).rename(folder / name)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    click.echo(f"{plural(count, 'file')} in {folder.resolve()}")
    click.echo("next: tierdrill validate; tierdrill plan node-loss; then make them yours (README.md there says how)")


def _copy(shipped: Path, draft: Path) -> int:
    """Copy the documents; how many."""
    from tierdrill.documents.catalogue import SCHEMAS

    count = 0
    for name in FOLDERS:
        for source in sorted((shipped / name).rglob("*")):
            relative = source.relative_to(shipped)
            if source.suffix not in ENDINGS or SCHEMAS in PurePath(relative).parents:
                continue
            target = draft / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            _name_schema(target, PurePath(relative))
            count += 1
    return count


def _name_schema(path: Path, relative: PurePath) -> None:
    """Give a document the first line by which editors find its schema."""
    from tierdrill.documents.reading.json_schema import schema_line

    text = path.read_text(encoding="utf-8")
    kinds = _KIND.findall(text)
    if path.suffix == ".json" or not kinds or text.startswith("# yaml-language-server:"):
        return
    line = schema_line(kinds[0] if len(kinds) == 1 else "document", relative, PurePath())
    path.write_text(f"{line}\n{text}", encoding="utf-8")
