"""Checks of Scenario documents: what they refer to, times that fit, and that nothing public gives the fault away."""

import re

from tierdrill.documents.check.check_context import Context
from tierdrill.documents.check.environments import quick_page_window
from tierdrill.documents.check.incidents import check_incident, check_radius, check_signal, check_target
from tierdrill.documents.check.streams import check_connections, check_streams
from tierdrill.documents.environment_inventory import Inventory
from tierdrill.documents.models.environment import Environment
from tierdrill.documents.models.hypotheses import CAUSES
from tierdrill.documents.models.scenario import Scenario
from tierdrill.documents.models.units import show_duration
from tierdrill.documents.problems import shown
from tierdrill.documents.reading.reading_state import Place
from tierdrill.faults.blast_radius import Layout
from tierdrill.faults.known_kinds import KINDS

HINTS_COST_MAX = 100


def check_scenarios(context: Context) -> None:
    for name, scenario in context.catalogue.scenarios.items():
        place = context.reading.place("Scenario", name)
        context.known(place.at("environment"), "Environment", scenario.environment)
        environment = context.catalogue.environments.get(scenario.environment)
        inventory = context.inventory_of(environment, scenario.load)
        _check_load(context, place.at("load"), scenario, environment)
        _check_times(place, scenario, environment)
        place.at("incidents").unique([one.name for one in scenario.incidents], "incident", "name")
        place.at("injects").unique([one.name for one in scenario.injects], "inject", "name")
        for number, incident in enumerate(scenario.incidents):
            check_incident(context, place.at("incidents", number), incident, scenario, inventory)
        for section in ("noise", "injects"):
            for number, one in enumerate(getattr(scenario, section)):
                check_signal(place.at(section, number), one, inventory)
        if environment is not None:
            check_radius(place, scenario, environment, inventory.layout if inventory is not None else Layout())
        _check_automation(context, place, scenario, inventory)
        _check_score(place, scenario)
        _check_blindness(place, scenario)


def _check_load(context: Context, place: Place, scenario: Scenario, environment: Environment | None) -> None:
    beside = context.catalogue.paths["Scenario", scenario.metadata.name].parent
    check_streams(context, place.at("streams"), scenario.load, environment, scenario.duration, beside)
    check_connections(place, scenario.load)
    tiers = context.tiers_of(environment)
    silent = {tier.name for tier in tiers.tiers} if tiers else set()
    silent -= {stream.tier for stream in scenario.load.streams}
    for incident in scenario.incidents:
        if incident.tier in silent:
            place.at("streams").report(
                f"no stream of tier {incident.tier}", f"incident {incident.name} is judged by requests of its tier",
                key=True,
            )  # fmt: skip


def _check_times(place: Place, scenario: Scenario, environment: Environment | None) -> None:
    end = scenario.duration
    if end <= 0:
        place.at("duration").report("an exercise of no time", "a time above 0")
        return
    first = min(incident.at for incident in scenario.incidents)
    least = quick_page_window(environment) if environment is not None else 0.0
    for number, incident in enumerate(scenario.incidents):
        spot = place.at("incidents", number)
        if incident.at == first and first < least - 1e-6:
            spot.at("at").report(
                f"the first incident at {show_duration(first)}",
                f"not within the quick page's window, {show_duration(round(least, 3))}, or alerts fire early",
            )
        if incident.at + incident.mitigate_within > end:
            spot.at("at").report(
                f"an incident at {show_duration(incident.at)} to be mitigated within "
                f"{show_duration(incident.mitigate_within)}",
                f"both before the exercise's end at {show_duration(end)}",
            )
    for number, noise in enumerate(scenario.noise):
        if noise.at >= end:
            place.at("noise", number, "at").report(
                f"noise at {show_duration(noise.at)}", f"before the exercise's end at {show_duration(end)}"
            )
    if not 0 < scenario.updates_every <= end:
        place.at("updates_every").report(
            f"an update every {show_duration(scenario.updates_every)}",
            f"above 0 and at most the exercise, {show_duration(end)}",
        )


def _check_automation(context: Context, place: Place, scenario: Scenario, inventory: Inventory | None) -> None:
    wrong = scenario.wrong
    if (scenario.automation == "wrong") != (wrong is not None):
        found = "automation wrong without wrong" if wrong is None else f"wrong with automation {scenario.automation}"
        place.at("automation").report(found, "wrong says which playbook acts on what, with automation: wrong", key=True)
    if wrong is None or not context.known(place.at("wrong", "playbook"), "Playbook", wrong.playbook):
        return
    playbook = context.catalogue.playbooks.get(wrong.playbook)
    if playbook is not None:
        check_target(place.at("wrong", "target"), playbook.target_kind, wrong.target, inventory)


def _check_score(place: Place, scenario: Scenario) -> None:
    if not any(scenario.points.model_dump().values()):
        place.at("points").report("no line of the score has points", "at least one above 0", key=True)
    cost = sum(hint.cost for hint in scenario.hints)
    if cost > HINTS_COST_MAX:
        place.at("hints").report(f"hints for {cost} points together", f"at most {HINTS_COST_MAX}", key=True)


def _check_blindness(place: Place, scenario: Scenario) -> None:
    """Name, title and brief are read before the exercise, noise during it."""
    telling = [*KINDS, *CAUSES]
    public = [
        (place.at("metadata", "name"), scenario.metadata.name),
        (place.at("metadata", "title"), scenario.metadata.title),
        (place.at("brief"), scenario.brief),
        *((place.at("noise", number, "text"), one.text or "") for number, one in enumerate(scenario.noise)),
    ]
    for spot, text in public:
        plain = re.sub(r"[^a-z0-9]+", "-", text.lower())
        given = next((word for word in telling if word in plain), None)
        if given is not None:
            spot.report(f"{shown(given)} in what the trainee reads", "words that do not say what is broken")
