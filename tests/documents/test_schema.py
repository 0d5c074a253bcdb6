"""JSON Schema: one for each kind, readable by editors, and agreeing with the models on what a document may say."""

from __future__ import annotations

import json
import re
from pathlib import Path, PurePath
from typing import Any

import pytest
import yaml

from tests.documents.support import CALENDAR, DRILL, ENVIRONMENT, GAMEDAY, GOOD, PLAYBOOK, SCENARIO, TIERS, WORKLOADS
from tierdrill.documents.catalogue import KINDS
from tierdrill.documents.reading.json_schema import DIALECT, any_kind_schema, json_schema, schema_line, write_schemas
from tierdrill.faults.known_kinds import KINDS as FAULTS

EXAMPLES = {
    "Calendar": CALENDAR,
    "Drill": DRILL,
    "DrillTemplate": "drills/template.yaml",
    "Environment": ENVIRONMENT,
    "GameDay": GAMEDAY,
    "Playbook": PLAYBOOK,
    "Scenario": SCENARIO,
    "TierTests": "drills/tier-tests.yaml",
    "Tiers": TIERS,
    "Workloads": WORKLOADS,
}


def complaints(value: Any, schema: dict[str, Any], root: dict[str, Any], place: str = "") -> list[str]:
    """A validator for the part of JSON Schema that pydantic writes."""
    if "$ref" in schema:
        target: Any = root
        for step in schema["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        return complaints(value, target, root, place)
    if "anyOf" in schema:
        tried = [complaints(value, option, root, place) for option in schema["anyOf"]]
        return [] if any(not one for one in tried) else tried[0]
    if "oneOf" in schema:
        member = schema["discriminator"]["mapping"].get(value.get(schema["discriminator"]["propertyName"]))
        return complaints(value, {"$ref": member}, root, place) if member else [f"{place}: oneOf"]
    found = []
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float)}
    wanted = schema.get("type")
    if wanted == "null" and value is not None:
        return [f"{place}: null"]
    fits = wanted in (None, "null") or isinstance(value, kinds[wanted])
    if not fits or (isinstance(value, bool) and wanted not in (None, "boolean")):
        return [f"{place}: {wanted}"]
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{place}: enum")
    if "const" in schema and value != schema["const"]:
        found.append(f"{place}: const")
    if "pattern" in schema and not re.search(schema["pattern"], value):
        found.append(f"{place}: pattern")
    if "if" in schema:
        branch = "else" if complaints(value, schema["if"], root, place) else "then"
        found += complaints(value, schema.get(branch, {}), root, place)
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        found += [f"{place}.{name}: required" for name in schema.get("required", []) if name not in value]
        for name, item in value.items():
            if name in properties:
                found += complaints(item, properties[name], root, f"{place}.{name}")
            elif schema.get("additionalProperties") is False:
                found.append(f"{place}.{name}: unknown")
    if isinstance(value, list):
        if len(value) < schema.get("minItems", 0):
            found.append(f"{place}: minItems")
        for number, item in enumerate(value):
            found += complaints(item, schema.get("items", {}), root, f"{place}[{number}]")
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_good_document_fits_its_schema(kind: str) -> None:
    schema = json_schema(kind)
    document = yaml.safe_load((GOOD / EXAMPLES[kind]).read_text(encoding="utf-8"))
    assert complaints(document, schema, schema) == []
    document["nonsense"] = 1
    assert complaints(document, schema, schema) == [".nonsense: unknown"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_schema_says_what_it_is(kind: str) -> None:
    schema = json_schema(kind)
    assert schema["$schema"] == DIALECT
    assert schema["$id"] == f"urn:tierdrill:schema:v1:{kind.lower()}"
    assert schema["title"] == f"tierdrill {kind}"
    assert schema["description"]
    assert all(part.get("description") for part in schema["$defs"].values())
    assert schema == json_schema(kind)


def test_defaults_are_written_as_people_write_them() -> None:
    parts = json_schema("Drill")["$defs"]
    assert parts["Stream"]["properties"]["timeout"]["default"] == "5s"
    assert parts["Load"]["properties"]["lag_p99_max"]["default"] == "50ms"
    assert parts["Invariants"]["properties"]["goodput_floor"]["default"] == "50%"
    assert parts["Stream"]["properties"]["max_tokens"]["default"] == 8


def test_quantities_carry_their_pattern() -> None:
    schema = json_schema("Drill")
    document = yaml.safe_load((GOOD / DRILL).read_text(encoding="utf-8"))
    document["phases"]["fault"] = 20
    document["load"]["streams"][0]["rate"] = "fast"
    assert complaints(document, schema, schema) == [".load.streams[0].rate: pattern", ".phases.fault: string"]


def test_a_scenario_may_name_the_faults_that_there_are() -> None:
    parts = json_schema("Scenario")["$defs"]
    assert parts["Incident"]["properties"]["fault"]["enum"] == list(FAULTS)
    assert {"type": "string", "enum": list(FAULTS)} in parts["Inject"]["properties"]["fault"]["anyOf"]


def test_one_schema_for_files_of_several_kinds() -> None:
    schema = any_kind_schema()
    assert [choice["if"]["properties"]["kind"]["const"] for choice in schema["allOf"]] == list(KINDS)
    for choice in schema["allOf"]:
        assert choice["then"]["$ref"].rpartition("/")[2] in schema["$defs"]


def test_schemas_are_written_where_documents_point_to(tmp_path: Path) -> None:
    written = write_schemas(tmp_path / "drills" / "schema")
    assert {path.name for path in written} == {"document.json", *(f"{kind.lower()}.json" for kind in KINDS)}
    for path, kind in (
        ("drills/platform/lab.yaml", "Environment"),
        ("playbooks/a.yaml", "Playbook"),
        ("drills/a.yaml", "Drill"),
    ):
        line = schema_line(kind, tmp_path / PurePath(path), tmp_path)
        relative = line.partition("$schema=")[2]
        target = ((tmp_path / path).parent / relative).resolve()
        assert json.loads(target.read_text(encoding="utf-8")) == json_schema(kind)
    assert schema_line("Playbook", PurePath("playbooks/a.yaml"), PurePath()) == (
        "# yaml-language-server: $schema=../drills/schema/playbook.json"
    )
