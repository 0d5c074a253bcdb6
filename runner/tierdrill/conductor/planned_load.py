"""From a drill's load to the load child's plan: streams, prompts with their right answers, addresses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from tierdrill.conductor.plan import Plan
from tierdrill.documents.catalogue import DrillSetting
from tierdrill.documents.models.drill import Stream
from tierdrill.documents.models.workloads import Model
from tierdrill.lab.lab_plan import MODEL_SIZE
from tierdrill.lab.replica.language_model import covering_prompts, expected_answer
from tierdrill.load.arrival_schedule import Shape
from tierdrill.load.child_line import CONTROL_FILE
from tierdrill.load.load_plan import LoadPlan, Prompt, StreamPlan


def load_plan(plan: Plan, targets: tuple[str, ...], folder: Path) -> LoadPlan:
    """The plan for one run; samples and reports go to `folder`."""
    drill = plan.setting.drill
    models = {model.name: model for model in plan.setting.workloads.models}
    return LoadPlan(
        targets=targets,
        duration_s=plan.load_s,
        seed=drill.load.seed,
        connections_max=drill.load.connections,
        streams=tuple(
            part
            for stream in drill.load.streams
            for part in stream_plans(stream, models[stream.model], _fallback(plan.setting, stream, models))
        ),
        sample_path=str(folder / "samples"),
        status_path=str(folder / "generator"),
        control_path=str(folder / CONTROL_FILE),
    )


def _fallback(setting: DrillSetting, stream: Stream, models: Mapping[str, Model]) -> tuple[Model, ...]:
    """The model that may answer in its own model's place."""
    name = setting.tiers.by_name(stream.tier).fallback_model
    return (models[name],) if name is not None and name in models and name != stream.model else ()


def stream_plans(stream: Stream, model: Model, others: Iterable[Model] = ()) -> list[StreamPlan]:
    """A stream as the child sends it; `others` are models that may answer in place of its own.

    One part that streams its answers and one that does not, where both are asked for. Its prompts are golden ones:
    together they read every weight of a model, and the right answer of every model to each is known.
    """
    prompts = tuple(
        Prompt(
            text,
            stream.max_tokens,
            {one.name: expected_answer(one.seed, MODEL_SIZE, text, stream.max_tokens) for one in (model, *others)},
        )
        for text in covering_prompts(stream.prompt_tokens, model.seed)
    )
    shape = Shape(
        kind=stream.shape.kind,
        factor=stream.shape.factor,
        at_s=stream.shape.at,
        lasts_s=stream.shape.lasts,
        file=stream.shape.file,
    )
    parts = []
    for streaming, share in ((False, 1.0 - stream.streaming), (True, stream.streaming)):
        if share <= 0:
            continue
        both = 0 < stream.streaming < 1
        parts.append(
            StreamPlan(
                name=f"{stream.name}-{'streamed' if streaming else 'plain'}" if both else stream.name,
                tier=stream.tier,
                model=stream.model,
                rate_rps=stream.rate * share,
                prompts=prompts,
                timeout_s=stream.timeout,
                customer_class=stream.customer_class,
                stream=streaming,
                shape=shape,
            )
        )
    return parts
