"""From a drill's load to the load child's plan: streams, prompts with their right answers, addresses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tierdrill.conductor.plan import Plan
from tierdrill.documents.catalogue import DrillSetting
from tierdrill.documents.models.drill import Stream
from tierdrill.documents.models.workloads import Model
from tierdrill.load.arrival_schedule import Shape
from tierdrill.load.child_line import CONTROL_FILE
from tierdrill.load.load_plan import LoadPlan, Prompt, StreamPlan
from tierdrill.targets.base import Session


def load_plan(plan: Plan, session: Session | None, folder: Path) -> LoadPlan:
    """The plan for one run; samples and reports go to `folder`. Without a session it says when requests are sent, not
    where and what.
    """
    drill = plan.setting.drill
    models = {model.name: model for model in plan.setting.workloads.models}

    def prompts(stream: Stream) -> tuple[Prompt, ...]:
        return session.prompts(stream, _answering(plan.setting, stream, models)) if session is not None else ()

    planned = LoadPlan(
        targets=session.endpoints.load if session is not None else (),
        duration_s=plan.load_s,
        seed=drill.load.seed,
        connections_max=drill.load.connections,
        streams=tuple(part for stream in drill.load.streams for part in stream_plans(stream, prompts(stream))),
        sample_path=str(folder / "samples"),
        status_path=str(folder / "generator"),
        control_path=str(folder / CONTROL_FILE),
    )
    return planned if session is None else session.traffic(planned, plan.phases[0].seconds)


def _answering(setting: DrillSetting, stream: Stream, models: Mapping[str, Model]) -> list[Model]:
    """The stream's model, and the one that may answer in its place."""
    fallback = setting.tiers.by_name(stream.tier).fallback_model
    names = dict.fromkeys((stream.model, fallback))
    return [models[name] for name in names if name is not None and name in models]


def stream_plans(stream: Stream, prompts: tuple[Prompt, ...]) -> list[StreamPlan]:
    """A stream as the child sends it: one part that streams its answers and one that does not, where both are asked
    for.
    """
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
