"""Golden requests: fixed questions, asked of every tier through every gateway as its customers ask, with known answers.

A node's agent asks its replicas by themselves, and tells a damaged one from a model that has drifted. This tells which
tiers are answered wrongly, and sees what lies between: a gateway or a path that does something to answers.
"""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass

from tierdrill.lab.lab_config import LabConfig
from tierdrill.lab.node.http_client import JsonClient
from tierdrill.lab.replica.language_model import (
    GOLDEN_ANSWER_TOKENS,
    Model,
    detokenize,
    expected_golden,
    golden_prompts,
)
from tierdrill.lab.supervisor.lab_lifecycle import CONTROLLER, Lab
from tierdrill.lab.supervisor.program_calls import CallFailed

ROUND_S = 2.0
"""Every gateway is asked one question of every tier and model in so many seconds: few, for they take slots."""

TIMEOUT_S = 2.0


@dataclass(frozen=True)
class Subject:
    """A model, asked as a customer of its tier; of each question the right answer."""

    tier: str
    model: str
    customer_class: str | None
    questions: tuple[tuple[str, str], ...]


def subjects(config: LabConfig) -> Iterator[Subject]:
    """Every model that a route leads customers of its own tier to. Its questions together read every weight."""
    for model in config.models:
        routes = [one for one in config.routes if (one.tier, one.model) == (model.tier, model.name)]
        if routes:
            prompts = golden_prompts(Model(model.model_seed, model.model_size))
            right = expected_golden(model.model_seed, model.model_size).answers
            questions = zip(map(detokenize, prompts), right, strict=True)
            yield Subject(model.tier, model.name, routes[0].customer_class, tuple(questions))


async def ask(gateway: str, subject: Subject, turn: int) -> bool | None:
    """Whether the answer that came is right; None where none came, or another model gave it."""
    prompt, right = subject.questions[turn % len(subject.questions)]
    body = {"model": subject.model, "prompt": prompt, "max_tokens": GOLDEN_ANSWER_TOKENS}
    classed = {} if subject.customer_class is None else {"x-customer-class": subject.customer_class}
    client = JsonClient(gateway, headers=classed)
    try:
        status, said = await client.request("POST", "/v1/completions", body, timeout_s=TIMEOUT_S)
        known = status == 200 and said["model"] == subject.model
        return bool(said["choices"][0]["text"] == right) if known else None
    except (OSError, LookupError, TypeError):
        return None
    finally:
        client.close()


async def keep_asking(lab: Lab) -> None:
    """Ask again and again, and tell the controller, whose metrics show it. Only where somebody could see them."""
    asked = list(subjects(lab.config)) if lab.config.prometheus.binary is not None else []
    turn = 0
    while asked:
        for subject in asked:
            began = time.monotonic()
            gateways = dict(lab.state.gateways)
            answers = await asyncio.gather(*(ask(address, subject, turn) for address in gateways.values()))
            told = {"tier": subject.tier, "model": subject.model, "right": dict(zip(gateways, answers, strict=True))}
            try:
                await lab.call(CONTROLLER, "PUT", "/v1/golden", told)
            except CallFailed:
                pass  # it is asked again soon
            await asyncio.sleep(max(0.0, began + ROUND_S / len(asked) - time.monotonic()))
        turn += 1
