"""Channels of a calendar: each named once, secrets that can be found, mail that does not show its password."""

from collections.abc import Collection, Sequence

from tierdrill.did_you_mean import nearest
from tierdrill.documents.models.channels import (
    Channel,
    EmailChannel,
    PagerDutyChannel,
    Secret,
    SlackChannel,
    WebhookChannel,
)
from tierdrill.documents.problems import shown
from tierdrill.documents.reading.reading_state import Place
from tierdrill.text import listed

LOOPBACK = ("localhost", "127.0.0.1", "::1", "[::1]")


def check_channels(place: Place, channels: Sequence[Channel], owners: Collection[str] = ()) -> None:
    """Every channel of the list at this place; `owners` are those that the calendar's entries have."""
    place.unique([channel.name for channel in channels], "channel", "name")
    for number, channel in enumerate(channels):
        spot = place.at(number)
        _check_telling(spot, channel, owners)
        for field, secret in secrets_of(channel).items():
            check_secret(spot.at(field), secret)
        if isinstance(channel, EmailChannel):
            _check_mail(spot, channel)


def check_notify(place: Place, names: Sequence[str], channels: Sequence[Channel]) -> None:
    """The names of channels that an entry, or the calendar, notifies."""
    place.unique(list(names), "channel")
    for number, name in enumerate(names):
        place.at(number).known(name, "channel", [channel.name for channel in channels])


def secrets_of(channel: Channel) -> dict[str, Secret]:
    """The secrets that the channel needs, by the field that names each."""
    match channel:
        case WebhookChannel():
            return {"secret": channel.secret}
        case SlackChannel():
            return {"url": channel.url}
        case PagerDutyChannel():
            return {"routing_key": channel.routing_key}
        case EmailChannel():
            return {"password": channel.password} if channel.password is not None else {}


def _check_telling(place: Place, channel: Channel, owners: Collection[str]) -> None:
    place.at("on").unique(list(channel.on), "kind")
    for number, owner in enumerate(channel.owners):
        if owners and owner not in owners:
            place.at("owners", number).report(
                f"no entry is owned by {shown(owner)}", f"owners: {listed(sorted(owners))}", nearest(owner, owners)
            )
    for field in ("timeout", "give_up_after"):
        if getattr(channel, field) <= 0:
            place.at(field).report(f"{field} of no time", "a time above 0")


def check_secret(place: Place, secret: Secret) -> None:
    """That a secret is named, and by one thing."""
    if (secret.env is None) == (secret.file is None):
        found = "env and file together" if secret.env is not None else "neither env nor file"
        place.report(found, "one of them: {env: NAME} or {file: PATH}", key=secret.env is None)


def _check_mail(place: Place, channel: EmailChannel) -> None:
    if (channel.user is None) != (channel.password is None):
        given, missing = ("user", "password") if channel.password is None else ("password", "user")
        place.at(given).report(f"{given} without {missing}", "both, or neither", key=True)
    if channel.security == "none" and channel.password is not None and channel.host not in LOOPBACK:
        place.at("security").report(
            f"a password sent to {channel.host} for everybody to read", "starttls or tls", "starttls"
        )
    place.at("to").unique(list(channel.to), "recipient")
