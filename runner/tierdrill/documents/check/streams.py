"""Streams of a load: each goes where the routing rules send it, in a shape that fits the run, or from a recording."""

import json
import math
from pathlib import Path

from tierdrill.did_you_mean import nearest
from tierdrill.documents.bounded_files import read_file
from tierdrill.documents.check.capacity import check_load_fits
from tierdrill.documents.check.check_context import Context
from tierdrill.documents.models.drill import Load, Shape, Stream
from tierdrill.documents.models.environment import Environment
from tierdrill.documents.models.recordings import recording_file
from tierdrill.documents.models.tiers import Tiers
from tierdrill.documents.models.units import show_duration, show_ratio
from tierdrill.documents.models.workloads import Workloads
from tierdrill.documents.reading.reading_state import Place

RECORDING_BYTES_MAX = 50_000_000

Recordings = dict[str, list[float] | None]
"""For each replayed stream its due times, in seconds from the earliest line; None where they are not known."""


def check_streams(
    context: Context, place: Place, load: Load, environment: Environment | None, length: float, beside: Path
) -> Recordings:
    """Every stream of a load that lasts `length` seconds; gives what the recordings hold.

    `beside` is the folder of the document that has the load.
    """
    workloads, tiers = context.workloads_of(environment), context.tiers_of(environment)
    place.unique([stream.name for stream in load.streams], "stream", "name")
    recordings: Recordings = {}
    for number, stream in enumerate(load.streams):
        spot = place.at(number)
        if stream.shape.kind == "replay":
            folders = [beside, context.catalogue.root]
            recordings[stream.name] = _recording(spot.at("shape"), folders, stream, _takes_tier(load, stream))
            if 0 < stream.streaming < 1:
                spot.at("streaming").report(
                    f"streaming {show_ratio(stream.streaming)} of a replayed stream",
                    "0% or 100%: a recording says when, not which; two streams with recordings of their own can differ",
                )
        else:
            if stream.rate <= 0:
                spot.at("rate").report("a rate of 0", "a rate above 0")
            _check_shape(spot.at("shape"), stream.shape, length)
        if stream.timeout <= 0:
            spot.at("timeout").report("a timeout of no time", "a time above 0")
        if workloads is not None and tiers is not None:
            by_header = environment is not None and environment.load is not None and environment.load.tier_header
            _check_route(spot, stream, workloads, tiers, routed=not by_header)
    if workloads is not None and tiers is not None and environment is not None and environment.target == "lab":
        check_load_fits(place, load, workloads, tiers)
    return recordings


def check_connections(place: Place, load: Load) -> None:
    """Room for every request that is open while none is answered, or arrivals are dropped just when it matters.

    `place` is the load's.
    """
    needed = load.connections_needed
    if load.connections_max is not None and load.connections_max < needed:
        place.at("connections_max").report(
            f"{load.connections_max} connections; while nothing answers, {needed} requests are open at once "
            "(rate x timeout of all streams)",
            f"at least {needed}, or none: then there are twice as many",
        )


def _check_shape(place: Place, shape: Shape, end: float) -> None:
    given = shape.model_fields_set
    if shape.file is not None:
        place.at("file").report(
            f"a file for a {shape.kind} shape", "only a replay has a file", "kind: replay", key=True
        )
    if shape.kind == "steady":
        for name in sorted(given & {"at", "lasts"}):
            place.at(name).report(f"{name} for a steady shape", "step, ramp or spike has it", key=True)
        return
    if shape.kind in ("ramp", "spike") and not shape.lasts:
        place.report(f"a {shape.kind} without lasts", f"lasts says how long the {shape.kind} takes", key=True)
    if shape.at >= end:
        place.at("at").report(
            f"a {shape.kind} at {show_duration(shape.at)}", f"before the load's end at {show_duration(end)}"
        )
    elif shape.lasts is not None and shape.at + shape.lasts > end:
        place.at("lasts").report(
            f"a {shape.kind} until {show_duration(shape.at + shape.lasts)}",
            f"until the load's end, {show_duration(end)}",
        )


def _check_route(place: Place, stream: Stream, workloads: Workloads, tiers: Tiers, *, routed: bool) -> None:
    names = [tier.name for tier in tiers.tiers]
    known = place.at("model").known(stream.model, "model", [model.name for model in workloads.models])
    if not place.at("tier").known(stream.tier, "tier", names) or not known or not routed:
        return
    given = workloads.tier_of(stream.model, stream.customer_class, stream.prompt_tokens, stream.max_tokens)
    tier = given if given is not None else tiers.by_rank()[-1].name
    if tier != stream.tier:
        why = "the routing rules give it" if given is not None else "no routing rule matches, and the last tier is"
        customer = f" of class {stream.customer_class}" if stream.customer_class else ""
        place.at("tier").report(
            f"tier {stream.tier} for {stream.model}{customer} with {stream.max_tokens} tokens", f"{why} {tier}", tier
        )


def _takes_tier(load: Load, stream: Stream) -> bool:
    """Lines that name only a tier go to that tier's first stream of the recording, as the generator sends them."""
    same = (one for one in load.streams if one.shape.kind == "replay" and one.shape.file == stream.shape.file)
    return next(one for one in same if one.tier == stream.tier) is stream


def _recording(place: Place, folders: list[Path], stream: Stream, takes_tier: bool) -> list[float] | None:
    if stream.shape.file is None:
        place.report("a replay without a file", "file names the recorded schedule", key=True)
        return None
    path = recording_file(stream.shape.file, folders)
    if path is None:
        siblings = sorted(item.name for item in folders[0].glob("*.jsonl"))
        place.at("file").report(
            f"no file {stream.shape.file}",
            "a recording, beside the drill or from the root",
            nearest(Path(stream.shape.file).name, siblings),
        )
        return None
    return _due_times(place.at("file"), path, stream, takes_tier)


def _due_times(place: Place, path: Path, stream: Stream, takes_tier: bool) -> list[float] | None:
    times: list[float] = []
    zero: float | None = None
    number = 0
    try:
        raw = read_file(path, RECORDING_BYTES_MAX)
        if len(raw) > RECORDING_BYTES_MAX:
            place.report(f"{path.name} with more than {RECORDING_BYTES_MAX} bytes", "a shorter recording")
            return None
        for line in raw.decode("utf-8").splitlines():
            number += 1
            if not line.strip():
                continue
            record = json.loads(line)
            at, named, tier = float(record["at"]), record.get("stream"), record.get("tier")
            if not math.isfinite(at) or (named is None and tier is None):
                raise ValueError(record)
            zero = at if zero is None else min(zero, at)
            if named == stream.name or (takes_tier and named is None and tier == stream.tier):
                times.append(at)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        place.report(
            f"line {number} of {path.name} is no arrival", 'lines of {"at": seconds, "stream" or "tier": name}'
        )
        return None
    return [at - (zero or 0.0) for at in times]
