"""`tierdrill kubernetes demo`: what it prints, what it refuses, and the page that tells of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.cli.support import ROOT, tierdrill
from tierdrill.cli.commands.kubernetes_demo import demo
from tierdrill.cli.drill_documents import environment_setting
from tierdrill.lab.feed.pod_view import PART

PAGE = (ROOT / "docs" / "kubernetes-demo.md").read_text()
TOKEN = "platform-token-of-tests"


def test_it_prints_objects_that_hold_the_token_that_it_was_given(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    argv = ("kubernetes", "demo", "--image", "example.org/t:1", "--token-file", tmp_path / "token")
    printed = tierdrill(tmp_path / "home", *argv)
    assert printed.code == 0
    objects = list(yaml.safe_load_all(printed.out))
    (held,) = [one for one in objects if one["kind"] == "Secret" and one["metadata"]["namespace"] == "serving"]
    assert TOKEN in held["stringData"]["token.json"]
    assert not (tmp_path / "home").exists()


def test_without_one_every_time_another(tmp_path: Path) -> None:
    argv = ("kubernetes", "demo", "--image", "example.org/t:1")
    first, second = (tierdrill(tmp_path / "home", *argv).out for _ in range(2))
    assert first != second


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "Missing option '--image'"),
        (("--image", "i", "--environment", "nowhere"), "nowhere"),
        (("--image", "i", "--replicas", "assistant"), "got 'assistant', expected MODEL=NUMBER"),
        (("--image", "i", "--replicas", "assistant=0"), "got 'assistant=0', expected MODEL=NUMBER"),
        (("--image", "i", "--replicas", "other=1"), "--replicas: got model 'other', expected one of: assistant"),
        (("--image", "i", "--service-network", "10.0.0.1/28"), "got '10.0.0.1/28', expected a network"),
        (("--image", "i", "--service-network", "10.0.0.0/30"), "expected at least 16 addresses"),
        (("--image", "i", "--system-nodes", "=x"), "got '=x', expected KEY or KEY=VALUE"),
        (("--image", "i", "--node-grace", "soon"), "soon"),
        (("--image", "i", "--gpus", "0"), "0"),
        (("--image", "i", "--token-file", "/nowhere/token"), "/nowhere/token"),
        (("--image", "i", "--token-file", "short"), "got 5 characters, expected at least 16"),
    ],
)
def test_what_cannot_be_is_refused_in_words(tmp_path: Path, options: tuple[str, ...], words: str) -> None:
    (tmp_path / "short").write_text("short")
    refused = tierdrill(tmp_path / "home", "kubernetes", "demo", *options, cwd=tmp_path)
    assert refused.code == 2
    assert words in refused.err and "Traceback" not in refused.err
    assert refused.out == ""


def test_the_page_tells_of_options_that_exist() -> None:
    told = set(re.findall(r"(?<![\w-])--[a-z]+(?:-[a-z]+)*", PAGE))
    of_others = {"--dry-run", "--watch"}
    known = {option for parameter in demo.params for option in parameter.opts}
    assert told - of_others <= known
    assert known - told <= {"--prometheus-image", "--alertmanager-image", "--gpus", "--help"}


def test_the_pages_environment_is_one_and_selects_what_the_demo_makes(tmp_path: Path) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "demo.yaml").write_text(block)
    environment, tiers, _ = environment_setting(ROOT, str(tmp_path / "demo.yaml"))
    told = environment.kubernetes
    assert told is not None and told.gateways is not None
    assert set(told.tiers) == {tier.name for tier in tiers.tiers}
    printed = tierdrill(tmp_path / "home", "kubernetes", "demo", "--image", "i").out
    made = [one["spec"]["template"] for one in yaml.safe_load_all(printed) if "template" in one.get("spec", {})]
    labels = [one["metadata"]["labels"] for one in made]
    for pods in (told.gateways, told.exporter, *told.tiers.values()):
        assert pods is not None
        key, _, value = pods.selector.partition("=")
        assert any(one.get(key) == value for one in labels), pods.selector
    assert {one[PART] for one in labels if one.get("tier")} == {"replica"}
