"""What an Environment document says of a platform that somebody else runs: where it is reached, and what it tells.

A document never holds a secret: it names the environment variable, or the file, that does. Both are read again when a
server refuses the credentials.
"""

from typing import Annotated, Literal

from pydantic import Field

from tierdrill.documents.models.channels import SecretHere, WholePath
from tierdrill.documents.models.units import Frozen, Name, Part

RejectionReason = Literal["shed", "capped", "queue-full", "queue-timeout", "preempted", "circuit-open", "rate-limited"]


class Credentials(Part):
    """How to log in over HTTP: with a `bearer` token, or with `user` and `password`."""

    user: str | None = Field(default=None, min_length=1, pattern=r"^[^:\x00-\x1f\x7f]+$")
    password: SecretHere | None = None
    bearer: SecretHere | None = None


class Connection(Credentials):
    """A server: its URL, its credentials, and what TLS and proxies in front of it ask for.

    `client_cert` and `client_key` are PEM files, `ca_file` is the PEM file of the authorities to trust instead of the
    system's. `headers` go with every request; those that are secrets stand under `secret_headers`.
    """

    url: str = Field(examples=["https://prometheus.example.org"])
    client_cert: WholePath | None = None
    client_key: WholePath | None = None
    ca_file: WholePath | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    secret_headers: dict[str, SecretHere] = Field(default_factory=dict)


class Rejection(Part):
    """An answer by which the platform turns a request away on purpose: a status, and a header with it where one tells.

    `reason` is what it means: whether the platform was out of capacity, and how it turned the request away.
    """

    status: int = Field(ge=400, le=599)
    header: str | None = Field(default=None, min_length=1, description="only where the answer has this header")
    value: str | None = Field(default=None, description="and only with this value of it")
    reason: RejectionReason = "shed"


class ResponseHeaders(Part):
    """The response headers by which the platform tells more than the status; what has none is not measured."""

    tier: str | None = Field(default=None, min_length=1, description="the tier that served the request")
    model: str | None = Field(default=None, min_length=1, description="the model that answered")
    replica: str | None = Field(default=None, min_length=1, description="the replica that answered")
    gateway: str | None = Field(default=None, min_length=1, description="the gateway that took the request")
    queue_wait_ms: str | None = Field(default=None, min_length=1, description="milliseconds the request has waited")
    attempts: str | None = Field(default=None, min_length=1, description="how often the gateway tried")


class LoadConnection(Connection):
    """Where load is sent: the base URL of an OpenAI-like API, such as https://inference.example.org/v1.

    `models` gives the platform's names of the models in the Workloads document. Tiers are told by the model, or by the
    header `tier_header`, which carries the tier's name. With `answers: golden` every prompt is asked in the warm-up;
    where its answers are equal, later ones must equal them.
    """

    models: dict[Name, str] = Field(default_factory=dict)
    tier_header: str | None = Field(default=None, min_length=1, examples=["x-tier"])
    rejected: Annotated[tuple[Rejection, ...], Frozen] = ()
    response_headers: ResponseHeaders = ResponseHeaders()
    answers: Literal["none", "golden"] = "none"


class AlertName(Part):
    """What the platform calls an alert, and which of its labels stands for which of the drill's."""

    alert: str = Field(min_length=1, examples=["KubeNodeNotReady"])
    labels: dict[str, str] = Field(default_factory=dict, examples=[{"node": "instance"}])


class Availability(Part):
    """Good and all requests as PromQL over `$window`: a tier's availability as the platform itself counts it."""

    good: str = Field(examples=['sum(increase(http_requests_total{tier="critical",code!~"5.."}[$window]))'])
    total: str = Field(examples=['sum(increase(http_requests_total{tier="critical"}[$window]))'])


class Monitoring(Part):
    """The platform's own monitoring, and what its alerts are called there.

    `delivery` says how alerts reach the run: `poll` asks Alertmanager each second, `webhook` waits at `listen` for what
    the platform's Alertmanager posts to /alertmanager with the bearer token `webhook_token`. `alerts` is by the names
    that drills and playbooks use; `Watchdog` among them is the alert that always fires. `availability` is by tier.
    `fault_secret` signs what somebody says of a fault that `tierdrill observe` waits for. With `delivery: poll` too,
    `listen` is where that, and the reports of other tools' playbooks, come in.
    """

    prometheus: Connection
    alertmanager: Connection
    delivery: Literal["poll", "webhook"] = "poll"
    listen: str | None = Field(default=None, examples=["127.0.0.1:9095"])
    webhook_token: SecretHere | None = None
    fault_secret: SecretHere | None = None
    alerts: dict[str, AlertName] = Field(default_factory=dict)
    availability: dict[Name, Availability] = Field(default_factory=dict)


class Names(Part):
    """What there is on the platform, by the names that drills and playbooks use for it."""

    nodes: Annotated[tuple[str, ...], Frozen] = ()
    gpus: Annotated[tuple[str, ...], Frozen] = ()
    replicas: Annotated[tuple[str, ...], Frozen] = ()
    gateways: Annotated[tuple[str, ...], Frozen] = ()
