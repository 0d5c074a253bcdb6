"""Environments: their references, room for the replicas, scaled alert windows, and what they protect."""

from fnmatch import fnmatchcase

from tierdrill.did_you_mean import nearest
from tierdrill.documents.check.capacity import check_slots
from tierdrill.documents.check.check_context import PLATFORM, Context
from tierdrill.documents.check.dependencies import check_dependencies, check_url
from tierdrill.documents.check.externals import check_credentials, check_external
from tierdrill.documents.check.kubernetes import check_kubernetes
from tierdrill.documents.environment_inventory import Inventory
from tierdrill.documents.models.environment import LONGEST_LEASE_S, SHORTEST_LEASE_S, Environment
from tierdrill.documents.models.error_budget import QUICK_PAGE, at_scale, scaled
from tierdrill.documents.models.protections import FLAGS
from tierdrill.documents.models.tiers import Tiers
from tierdrill.documents.models.units import show_duration, show_ratio
from tierdrill.documents.models.workloads import Workloads
from tierdrill.documents.problems import shown
from tierdrill.documents.reading.reading_state import Place
from tierdrill.documents.request_rules import ANYWHERE
from tierdrill.text import listed, plural

LAB_FIELDS = ("replicas", "memory_gib", "service")


def quick_page_window(environment: Environment) -> float:
    """The long window of the quick page (1 h in production) at this environment's scale: the history an alert needs."""
    return scaled(QUICK_PAGE.long, environment.clock)


def check_environments(context: Context) -> None:
    for name, environment in context.catalogue.environments.items():
        place = context.reading.place("Environment", name)
        tiers = context.known(place.at("tiers"), "Tiers", environment.tiers)
        context.known(place.at("workloads"), "Workloads", environment.workloads)
        workloads = context.workloads_of(environment)
        if workloads is not None and tiers and workloads.tiers != environment.tiers:
            place.at("workloads").report(
                f"workloads {environment.workloads} are for tiers {workloads.tiers}",
                f"this environment has tiers {environment.tiers}",
            )
        document = context.tiers_of(environment)
        if document is not None:
            check_region(place.at("region"), environment, document)
        if not SHORTEST_LEASE_S <= environment.lease <= LONGEST_LEASE_S:
            place.at("lease").report(
                f"a lease of {show_duration(environment.lease)}",
                "1s to 1h: a fault whose lease is not renewed is undone after this time",
            )
        if environment.target == "lab":
            _check_clock(place.at("clock"), environment)
            if why := context.absent(environment).get("mode", {}).get(environment.lab.mode):
                place.at("lab", "mode").warn(f"mode {environment.lab.mode} is not to be had on this machine", why)
        _check_drills(context, place.at("drills"), environment)
        check_external(place, environment, document if document and workloads else None, workloads)
        check_kubernetes(place, environment, document, workloads)
        check_dependencies(place.at("dependencies"), environment.dependencies)
        if environment.gates.budget_window <= 0:
            place.at("gates", "budget_window").report("a window of no time", "a time above 0, such as 30d")
        for name in ("prometheus", "alertmanager"):
            if (url := getattr(environment.gates, name)) is not None:
                check_url(place.at("gates", name), url)
            if (credentials := getattr(environment.gates, f"{name}_credentials")) is not None:
                spot = place.at("gates", f"{name}_credentials")
                if url is None:
                    spot.report("credentials for nothing", f"beside them `{name}` says where to log in", key=True)
                check_credentials(spot, credentials)
        for number, flag in enumerate(environment.lab.flags_off):
            place.at("lab", "flags_off", number).known(flag, "protection", FLAGS)
        if environment.lab.node_grace <= 0:
            place.at("lab", "node_grace").report("node_grace of no time", "a time above 0, or no node is ever ready")
        if workloads is not None and environment.target == "lab":
            _check_sizes(context, workloads)
            _check_room(place.at("lab"), environment, workloads)
            _check_autoscale(place.at("lab", "autoscale"), environment, workloads)
            if document is not None:
                check_slots(place.at("lab"), environment, workloads, document)
        inventory = context.inventory_of(environment)
        if inventory is not None and workloads is not None:
            _check_protected(place.at("protected"), environment, inventory, workloads)


def _check_drills(context: Context, place: Place, environment: Environment) -> None:
    """What is its own with a drill, for what that expects. The drills of an environment may be another folder's: one
    that is not here is worth a look only.
    """
    for name, here in environment.drills.items():
        if context.reading.named("Drill"):
            context.known(place.at(name).lenient(), "Drill", name)
        if not here.model_fields_set:
            place.at(name).report("nothing that is different", "within, traffic, or both")
        if (drill := context.catalogue.drills.get(name)) is not None:
            fire = drill.expect
            names = [one.alert for one in fire.alerts.must_fire] + [one.playbook for one in fire.playbooks.must_fire]
            for expected in here.within:
                place.at(name, "within", expected).known(expected, "alert or playbook", names)


def check_region(place: Place, environment: Environment, tiers: Tiers) -> None:
    """The environment's region against where each tier's data stays; `place` is the region's."""
    for tier in tiers.tiers:
        stays = tier.data_residency
        if environment.region is not None and stays and not {ANYWHERE, environment.region} & set(stays):
            place.report(
                f"region {environment.region}, and the data of tier {tier.name} stays in {listed(stays)}",
                "a region that every tier's data_residency has, or `any` there",
            )


def _check_clock(place: Place, environment: Environment) -> None:
    clock = environment.clock
    for name in ("scrape_interval", "evaluation_interval"):
        value = getattr(clock, name)
        if value <= 0:
            place.at(name).report(f"{name} of no time", "a time above 0")
        elif value * 2 > (shortest := at_scale(QUICK_PAGE.short, clock)):
            place.at(name).report(
                f"{name} {show_duration(value)} at scale {clock.window_scale:g}",
                f"two fit into the shortest alert window, {show_duration(shortest)}",
            )


def _check_sizes(context: Context, workloads: Workloads) -> None:
    place = context.reading.place("Workloads", workloads.metadata.name)
    for number, model in enumerate(workloads.models):
        for field in LAB_FIELDS:
            spot = place.at("models", number)
            if field not in model.model_fields_set and field not in (spot.written() or ()):
                spot.report(f"no key {field} in model {model.name}", f"the lab needs {listed(LAB_FIELDS)}", key=True)


def _check_room(place: Place, environment: Environment, workloads: Workloads) -> None:
    """First fit, largest first: what the placement can do at least."""
    shape = environment.lab
    free = [shape.gpu_memory_gib] * (shape.nodes * shape.gpus_per_node)
    demands = sorted((model.memory_gib, model.name) for model in workloads.models for _ in range(model.replicas))
    for memory, name in reversed(demands):
        fitting = next((number for number, room in enumerate(free) if room >= memory), None)
        if fitting is None:
            place.report(
                f"no room for all replicas: one of {name} needs {memory} GiB",
                f"{len(demands)} replicas of workloads {workloads.metadata.name} fit on {len(free)} GPUs of "
                f"{shape.gpu_memory_gib} GiB",
                key=True,
            )
            return
        free[fitting] -= memory


def _check_autoscale(place: Place, environment: Environment, workloads: Workloads) -> None:
    """Models that are there, each once, with room for more replicas than they have."""
    names = [model.name for model in workloads.models]
    for number, rule in enumerate(environment.lab.autoscale):
        spot = place.at(number)
        spot.at("model").known(rule.model, "model", names)
        if rule.model in [each.model for each in environment.lab.autoscale[:number]]:
            spot.at("model").report(f"{rule.model} for the second time", "each model once")
        model = workloads.model(rule.model)
        if model is not None and rule.replicas_at_most <= model.replicas:
            spot.at("replicas_at_most").report(
                f"got {rule.replicas_at_most}",
                f"expected more than the {plural(model.replicas, 'replica')} that {model.name} has without it",
            )
        if not 0.0 <= rule.headroom < 1.0:
            spot.at("headroom").report(f"got {show_ratio(rule.headroom)}", "expected 0% or more, and less than 100%")


def _check_protected(place: Place, environment: Environment, inventory: Inventory, workloads: Workloads) -> None:
    models = [model.name for model in workloads.models]
    names = [
        *inventory.nodes, *inventory.gpus, *inventory.replicas, *inventory.gateways, *inventory.tiers, *inventory.links,
        *inventory.stores, *models, *PLATFORM,
    ]  # fmt: skip
    for number, pattern in enumerate(environment.protected):
        if not any(fnmatchcase(name, pattern) for name in names):
            place.at(number).report(
                f"nothing here is named {shown(pattern)}",
                "protected names a node, GPU, replica, gateway, link, tier, store, model or platform program",
                nearest(pattern, names),
            )
