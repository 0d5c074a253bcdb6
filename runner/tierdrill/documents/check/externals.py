"""Environments outside the lab: where the platform is reached, by which credentials, and what it tells."""

from tierdrill.documents.check.channels import check_secret
from tierdrill.documents.check.dependencies import check_url, split_endpoint
from tierdrill.documents.models.environment import Environment
from tierdrill.documents.models.external import Connection, Credentials, LoadConnection, Monitoring
from tierdrill.documents.models.tiers import Tiers
from tierdrill.documents.models.workloads import Workloads
from tierdrill.documents.reading.reading_state import Place
from tierdrill.text import listed

NOT_IN_LAB = ("load", "monitoring", "pace", "blip_pace", "traffic")
SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key", "api-key"})
LOGINS = (("user", "password"), ("bearer",))


def check_external(place: Place, environment: Environment, tiers: Tiers | None, workloads: Workloads | None) -> None:
    """What only such an environment has, and what it must have."""
    given = environment.model_fields_set
    if environment.target == "lab":
        for name in NOT_IN_LAB:
            if name in given:
                place.at(name).report(f"{name} for target lab", "target: external and kubernetes have it", key=True)
    if environment.target != "external" and "names" in given:
        place.at("names").report(f"names for target {environment.target}", "target: external has it", key=True)
    if environment.target == "lab":
        return
    if environment.monitoring is not None:
        _check_monitoring(place.at("monitoring"), environment.monitoring, tiers)
    elif environment.target == "external":
        place.report("target: external without monitoring", "monitoring with prometheus and alertmanager", key=True)
    if environment.load is not None:
        _check_load(place.at("load"), environment.load, workloads)


def check_credentials(place: Place, credentials: Credentials, *, required: bool = True) -> None:
    """One way to log in (or none, where none is `required`), and where its secret is found."""
    given = tuple(part for part in ("user", "password", "bearer") if getattr(credentials, part) is not None)
    if given not in LOGINS and (given or required):
        place.report(listed(given) or "nothing", "bearer, or user and password")
    for part in ("password", "bearer"):
        if (secret := getattr(credentials, part)) is not None:
            check_secret(place.at(part), secret)


def _check_connection(place: Place, connection: Connection) -> None:
    check_url(place.at("url"), connection.url)
    check_credentials(place, connection, required=False)
    if (connection.client_cert is None) != (connection.client_key is None):
        given, missing = ("client_cert", "client_key")[:: 1 if connection.client_cert is not None else -1]
        place.at(given).report(f"{given} without {missing}", "both, or neither", key=True)
    for name in connection.headers:
        if name.lower() in SECRET_HEADERS:
            place.at("headers", name).report(
                f"a secret in header {name}", "bearer, or secret_headers with {env: NAME} or {file: PATH}", key=True
            )
    for name, secret in connection.secret_headers.items():
        check_secret(place.at("secret_headers", name), secret)


def _check_monitoring(place: Place, monitoring: Monitoring, tiers: Tiers | None) -> None:
    _check_connection(place.at("prometheus"), monitoring.prometheus)
    _check_connection(place.at("alertmanager"), monitoring.alertmanager)
    for name in ("listen", "webhook_token") if monitoring.delivery == "webhook" else ():
        if getattr(monitoring, name) is None:
            place.report(f"delivery webhook without {name}", "delivery: webhook has listen and webhook_token", key=True)
    if monitoring.listen is not None and split_endpoint(monitoring.listen) is None:
        place.at("listen").report("no address to listen at", "HOST:PORT, such as 127.0.0.1:9095")
    for name in ("webhook_token", "fault_secret"):
        if (secret := getattr(monitoring, name)) is not None:
            check_secret(place.at(name), secret)
    for tier, availability in monitoring.availability.items():
        spot = place.at("availability", tier)
        if tiers is not None:
            spot.known(tier, "tier", [one.name for one in tiers.tiers])
        for name, expression in availability:
            if "$window" not in expression:
                spot.at(name).report("an expression without $window", "increase(...[$window]) over the judged phases")


def _check_load(place: Place, load: LoadConnection, workloads: Workloads | None) -> None:
    _check_connection(place, load)
    if workloads is not None:
        for name in load.models:
            place.at("models", name).known(name, "model", [model.name for model in workloads.models])
    for number, rejection in enumerate(load.rejected):
        if rejection.value is not None and rejection.header is None:
            place.at("rejected", number, "value").report("a value without a header", "header names it", key=True)
