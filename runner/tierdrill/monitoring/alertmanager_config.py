"""The Alertmanager configuration: everything to one webhook receiver, at once.

Alertmanager's defaults (30 s group_wait, 5 min group_interval) suit people; a drill measures how soon an alert is
delivered, and its playbooks start from the delivery.
"""

import json
from pathlib import Path

import yaml

from tierdrill.monitoring.alert_names import KNOWN_ALERTS, WATCHDOG

URL_PLACEHOLDER = "@WEBHOOK_URL@"
TOKEN_PLACEHOLDER = "@WEBHOOK_TOKEN@"  # noqa: S105 - the place of a token, not a token
TOKEN_FILE_PLACEHOLDER = "@WEBHOOK_TOKEN_FILE@"  # noqa: S105
NOWHERE_URL = "http://127.0.0.1:9/"
"""Discard port: where notifications go before a run names its receiver; nobody listens, and Alertmanager tries again.
"""

RECEIVER = "tierdrill"
WATCHDOG_REPEAT = "4s"


def group_labels() -> list[str]:
    """Every label that an alert is about: one group is one subject, so two nodes never share a notification."""
    return ["alertname", *sorted({label for labels in KNOWN_ALERTS.values() for label in labels})]


def alertmanager_config(*, asked: bool = False) -> str:
    """The configuration as text, with placeholders for the receiver's address and token. One that is `asked` for its
    alerts tells nobody by itself.
    """
    webhook = {
        "url": URL_PLACEHOLDER,
        "send_resolved": True,
        "max_alerts": 0,
        "http_config": {
            "authorization": {"type": "Bearer", "credentials": TOKEN_PLACEHOLDER},
            "follow_redirects": False,
        },
    }
    document = {
        "global": {"resolve_timeout": "10s"},
        "route": {
            "receiver": RECEIVER,
            "group_by": group_labels(),
            "group_wait": "0s",
            "group_interval": "1s",
            "repeat_interval": "1h",
            # The dead-man's switch comes again and again: a receiver that begins to listen now hears it soon, and
            # one that hears it no longer knows that it would hear nothing else either.
            "routes": [
                {"matchers": [f'alertname="{WATCHDOG}"'], "receiver": RECEIVER, "repeat_interval": WATCHDOG_REPEAT}
            ],
        },
        "receivers": [
            {"name": RECEIVER, **({} if asked else {"webhook_configs": [webhook]})},
        ],
    }
    text: str = yaml.safe_dump(document, sort_keys=False)
    return text


def filled_in(text: str, url: str, token: str, token_file: Path | None = None) -> str:
    """The configuration for a receiver, its values quoted so that none can change its structure. ValueError for one
    with control characters.
    """
    values = {URL_PLACEHOLDER: url, TOKEN_FILE_PLACEHOLDER: str(token_file or ""), TOKEN_PLACEHOLDER: token}
    for placeholder, value in values.items():
        if any(ord(character) < 32 for character in value):
            raise ValueError(f"got {value!r}, expected printable text for an address or a token")
        for written in (f"'{placeholder}'", f'"{placeholder}"', placeholder):
            text = text.replace(written, json.dumps(value))
    return text
