"""Golden requests: which questions are asked of whom, and what an answer says."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from tests.lab.test_supervisor_ends import small
from tests.targets.endpoint import Answer, Asked, Endpoint
from tierdrill.lab.lab_config import RouteConfig
from tierdrill.lab.replica.language_model import expected_answer, tokenize
from tierdrill.lab.supervisor.golden_requests import Subject, ask, subjects

ROUTES = (
    RouteConfig("best-effort", customer_class="batch"),
    RouteConfig("critical", model="assistant", customer_class="enterprise"),
    RouteConfig("best-effort", model="assistant"),
)


def test_each_model_is_asked_as_a_customer_of_its_tier_and_every_weight_is_read() -> None:
    config = replace(small(), routes=ROUTES)
    (subject,) = subjects(config)
    assert (subject.tier, subject.model, subject.customer_class) == ("critical", "assistant", "enterprise")
    assert {token for prompt, _ in subject.questions for token in tokenize(prompt)} == set(range(256))
    for prompt, right in subject.questions:
        assert right == expected_answer(config.models[0].model_seed, 1024, prompt, 8)
    assert list(subjects(replace(config, routes=ROUTES[:1]))) == []


@pytest.mark.parametrize(
    ("status", "model", "text", "right"),
    [
        (200, "assistant", "bai", True),
        (200, "assistant", "bau", False),
        (200, "draft", "bau", None),  # a fallback gives answers of its own
        (503, "assistant", "bai", None),
        (200, None, None, None),
    ],
)
def test_only_an_answer_of_the_model_says_anything(
    endpoint: Endpoint, status: int, model: str | None, text: str | None, right: bool | None
) -> None:
    bodies: list[object] = []

    def answer(asked: Asked) -> Answer:
        bodies.append(json.loads(asked.body))
        said = {} if model is None else {"model": model, "choices": [{"text": text}]}
        return Answer(status, json.dumps(said).encode())

    endpoint.answer = answer
    subject = Subject("critical", "assistant", "enterprise", (("ba", "bai"), ("be", "bau")))
    assert asyncio.run(ask(endpoint.address, subject, 2)) is right
    assert bodies == [{"model": "assistant", "prompt": "ba", "max_tokens": 8}]
    assert asyncio.run(ask("127.0.0.1:1", subject, 2)) is None
