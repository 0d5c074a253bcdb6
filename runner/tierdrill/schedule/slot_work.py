"""What a slot has to do: its drills in order, each with its environment, variables and tiers. Pure, from documents."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tierdrill.documents.catalogue import Catalogue
from tierdrill.documents.models.calendar import Calendar, CalendarEntry, Misfire, Retry
from tierdrill.documents.models.drill import Drill, Scalar
from tierdrill.documents.models.environment import Environment, EnvironmentGates
from tierdrill.documents.models.tiers import Maintenance, Tier
from tierdrill.documents.models.units import Metadata
from tierdrill.schedule.random_draw import drills_at
from tierdrill.schedule.store.slot_records import SlotName

LEASE_MARGIN_S = 600.0
"""How much longer than its phases a drill may take (lab, clean-up, verdict, reports) before it is stopped."""


UNKNOWN = "unknown"


@dataclass(frozen=True)
class Member:
    """One drill of a slot, ready to be gated and started. `tiers` are those it sends load to or judges.

    `maintenance` is what is declared of them.
    """

    drill: str
    environment: Environment
    own_environment: bool
    lab: str | None
    variables: Mapping[str, Scalar]
    blip: bool
    tiers: tuple[Tier, ...]
    lease_s: float
    options: tuple[str, ...] = field(default=())
    maintenance: tuple[Maintenance, ...] = ()

    @property
    def lock(self) -> str:
        """What is locked while it runs: the environment, or a kept lab of it."""
        name = self.environment.metadata.name
        return f"{name}/{self.lab}" if self.lab else name

    @property
    def rank(self) -> int | None:
        """The rank of the most important tier it touches."""
        return min((tier.rank for tier in self.tiers), default=None)


@dataclass(frozen=True)
class Work:
    """A slot with the entry it belongs to and the drills it runs, in order."""

    slot: SlotName
    calendar: Calendar
    entry: CalendarEntry
    members: tuple[Member, ...]
    held: str | None = None

    @property
    def owner(self) -> str:
        """Who answers for it: the entry's owner, or the calendar's."""
        return self.entry.owner or self.calendar.metadata.owner


def members_of(catalogue: Catalogue, calendar: Calendar, entry: CalendarEntry, key: str) -> tuple[Member, ...]:
    """The drills of an entry's slot of that key, each with what it runs in; KeyError for a name that there is not."""
    drawn = drills_at(catalogue, calendar, entry, key)
    return tuple(member_of(catalogue, calendar, entry, one.drill, blip=one.blip) for one in drawn)


def member_of(
    catalogue: Catalogue,
    calendar: Calendar,
    entry: CalendarEntry,
    drill_name: str,
    *,
    environment: str | None = None,
    variables: Mapping[str, Scalar] | None = None,
    blip: bool = False,
    options: Sequence[str] = (),
) -> Member:
    """One drill of an entry; what is given here goes before what the entry says (a rollout's stage, say)."""
    drill = catalogue.drills[drill_name]
    name = environment or entry.environment or calendar.environment or drill.environment
    chosen = catalogue.environments[name]
    tiers = catalogue.tiers[chosen.tiers]
    touched = drill.touched
    return Member(
        drill=drill_name,
        environment=chosen,
        own_environment=name == drill.environment,
        lab=entry.lab,
        # An entry of a suite sets variables that only some of its drills have.
        variables={
            key: value for key, value in {**entry.variables, **(variables or {})}.items() if key in drill.variables
        },
        blip=blip,
        tiers=tuple(tier for tier in tiers.by_rank() if tier.name in touched),
        lease_s=_length_s(drill) + LEASE_MARGIN_S,
        options=tuple(options),
        maintenance=tuple(one for one in tiers.maintenance if any(map(one.covers, touched))),
    )


def placeholder(drill: str) -> Member:
    """A drill of which no document is left: enough to wait for its process."""
    metadata = Metadata(name=UNKNOWN)
    environment = Environment.model_construct(metadata=metadata, gates=EnvironmentGates(), dependencies=())
    return Member(drill, environment, True, None, {}, False, (), LEASE_MARGIN_S * 6)


def orphan(slot: SlotName) -> Work:
    """A slot of an entry of which no document is left: enough to find out what became of it."""
    entry = CalendarEntry.model_construct(name=slot.entry, owner="", misfire=Misfire(), retry=Retry(), notify=())
    calendar = Calendar.model_construct(
        metadata=Metadata(name=slot.calendar), entries=(), channels=(), notify=(), suites={}
    )
    return Work(slot, calendar, entry, ())


def _length_s(drill: Drill) -> float:
    phases = drill.phases
    return phases.warm_up + phases.baseline + phases.fault + phases.recovery


def run_name(drill: str, due: float, number: int, chance: str) -> str:
    """A run's name that sorts by time; made before the run starts, so that it can be found whatever happens."""
    moment = datetime.fromtimestamp(due, UTC).strftime("%Y%m%d-%H%M%S")
    return f"{drill}-{moment}-{chance}{f'-{number}' if number else ''}"


def run_arguments(member: Member, run: str, origin: str) -> list[str]:
    """The arguments of `tierdrill run` for a drill of a slot."""
    words = [member.drill, "--json", "--name", run, "--origin", origin]
    if not member.own_environment:
        words += ["--environment", member.environment.metadata.name]
    if member.lab:
        words += ["--lab", member.lab]
    if member.blip:
        words.append("--blip")
    for name, value in member.variables.items():
        words += ["--set", f"{name}={_written(value)}"]
    return [*words, *member.options]


def _written(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
