"""A load plan for a platform that somebody else runs: address, login, names of models, and what its answers tell."""

from dataclasses import replace
from urllib.parse import urlsplit, urlunsplit

from tierdrill.documents.models.external import LoadConnection
from tierdrill.load.load_plan import LoadPlan, Prompt, StreamPlan

GOLDEN_PROMPTS = 8
"""So few different prompts a stream has there: each is to be asked twice in the warm-up."""
CONNECT_S = 3.0
CONNECTION = {
    "user", "password", "bearer", "client_cert", "client_key", "ca_file", "headers", "secret_headers",
}  # fmt: skip


def for_platform(plan: LoadPlan, load: LoadConnection, warm_up_s: float) -> LoadPlan:
    """The plan with everything that the environment's document says about load."""
    told = {name: header for name, header in load.response_headers if header is not None}
    return replace(
        sent_to(plan, load.url),
        connection=load.model_dump(include=CONNECTION),
        response_headers=told,
        rejected=tuple(rule.model_dump() for rule in load.rejected),
        golden_s=warm_up_s if load.answers == "golden" else None,
        streams=tuple(_stream(stream, load) for stream in plan.streams),
        connect_timeout_s=CONNECT_S,
    )


def sent_to(plan: LoadPlan, url: str) -> LoadPlan:
    """The plan for another address of the same platform, which ends where its paths begin (.../v1)."""
    parts = urlsplit(url)
    target = urlunsplit((parts.scheme, parts.netloc, "", "", ""))
    return replace(plan, targets=(target,), base_path=parts.path.rstrip("/"))


def _stream(stream: StreamPlan, load: LoadConnection) -> StreamPlan:
    tier = {load.tier_header: stream.tier} if load.tier_header is not None else {}
    prompts = tuple(Prompt(one.prompt, one.max_tokens) for one in stream.prompts[:GOLDEN_PROMPTS])
    return replace(stream, asks=load.models.get(stream.model), headers=tier, prompts=prompts)
