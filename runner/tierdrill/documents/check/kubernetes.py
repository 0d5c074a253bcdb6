"""Environments with `target: kubernetes`: which cluster it is, and what in it stands for the documents' tiers."""

from fnmatch import fnmatchcase

from tierdrill.documents.label_selectors import Selector
from tierdrill.documents.models.environment import Environment
from tierdrill.documents.models.kubernetes import KubernetesSettings
from tierdrill.documents.models.tiers import Tiers
from tierdrill.documents.models.workloads import Workloads
from tierdrill.documents.reading.reading_state import Place

NODE = "{node}"


def check_kubernetes(place: Place, environment: Environment, tiers: Tiers | None, workloads: Workloads | None) -> None:
    """That the section is there where it must be, and makes sense beside the tiers and the workloads."""
    settings, spot = environment.kubernetes, place.at("kubernetes")
    if environment.target != "kubernetes":
        if settings is not None:
            spot.report(f"kubernetes for target {environment.target}", "target: kubernetes has it", key=True)
        return
    if settings is None:
        place.at("target").report(
            "target: kubernetes without kubernetes", "kubernetes with a context and tiers", key=True
        )
        return
    if settings.context is None and settings.cluster is None:
        spot.report(
            "neither context nor cluster", "context (of the kubeconfig), or cluster (its uid), says which one", key=True
        )
    for where, pods in settings.groups:
        _check_selector(spot.at(*where, "selector"), pods.selector)
        for number, name in enumerate(pods.namespaces):
            _check_namespace(spot.at(*where, "namespaces", number), settings, name)
    for number, selector in enumerate(settings.protected.nodes):
        _check_selector(spot.at("protected", "nodes", number), selector)
    _check_tiers(spot, settings, tiers, workloads)
    _check_names(spot.at("names"), settings, workloads)
    for tool, after in settings.external_repair.items():
        if after <= 0:
            spot.at("external_repair", tool).report("a repair after no time", "a time above 0, such as 10m")
    for name in ("off", "on", "state") if settings.power is not None else ():
        if not any(NODE in word for word in getattr(settings.power, name)):
            spot.at("power", name).report(f"a command without {NODE}", f"{NODE} stands for the node's real name")


def _check_selector(place: Place, text: str) -> None:
    try:
        selector = Selector.parse(text)
    except ValueError as error:
        found, _, allowed = str(error).partition(", ")
        place.report(found, allowed)
        return
    if not selector.requirements:
        place.report("a selector that selects everything", "labels, such as app=web")


def _check_namespace(place: Place, settings: KubernetesSettings, name: str) -> None:
    if name == settings.namespace:
        place.report(f"namespace {name}, which is tierdrill's own", "a namespace of the platform's")
    protected = next((one for one in settings.protected.namespaces if fnmatchcase(name, one)), None)
    if protected is not None:
        place.report(f"namespace {name}, which kubernetes.protected.namespaces protects ({protected})", "another one")


def _check_tiers(place: Place, settings: KubernetesSettings, tiers: Tiers | None, workloads: Workloads | None) -> None:
    if tiers is not None:
        for name in settings.tiers:
            place.at("tiers", name).known(name, "tier", [tier.name for tier in tiers.tiers])
    if workloads is None:
        return
    for name in settings.models:
        place.at("models", name).known(name, "model", [model.name for model in workloads.models])
    for tier in dict.fromkeys(model.tier for model in workloads.models):
        if tier not in settings.tiers:
            place.at("tiers").report(f"no pods for tier {tier}", "each tier with models has namespaces and a selector")
    for model in workloads.models:
        shared = sum(one.tier == model.tier for one in workloads.models) > 1
        if shared and settings.models.get(model.name) == {}:
            place.at("models", model.name).report(
                f"no labels for {model.name}, and tier {model.tier} has other models", "labels that tell it from those"
            )


WAYS = {"name": "name: its name in the cluster", "hosting": "hosting: a tier", "serves": "serves: a model"}


def _check_names(place: Place, settings: KubernetesSettings, workloads: Workloads | None) -> None:
    models = {model.name for model in workloads.models} if workloads is not None else set()
    for alias, choice in settings.names.items():
        spot = place.at(alias)
        of_gpu, of_pod = "/" in alias, alias.rpartition("-")[0] in {*models, "gateway"}
        ways = ["serves"] if of_gpu else ["name"] if of_pod else ["name", "hosting", "serves"]
        given = [way for way in WAYS if getattr(choice, way) is not None]
        if len(given) != 1 or given[0] not in ways:
            spot.report(f"names.{alias} says not which", ", or ".join(WAYS[way] for way in ways))
        if of_gpu and not alias.rpartition("/")[2].isdecimal():
            spot.report(f"names.{alias}", "a GPU's name, such as node-2/0", key=True)
        if choice.hosting is not None:
            spot.at("hosting").known(choice.hosting, "tier", settings.tiers)
        if choice.serves is not None and workloads is not None:
            spot.at("serves").known(choice.serves, "model", sorted(models))
