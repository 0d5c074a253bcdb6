"""Other tools' playbooks: each is told of its alerts, and of where this run takes its reports.

The tool gets Alertmanager's webhook body (version 4, every key of it) narrowed to the one alert, and beside it:

    playbook    the playbook's name
    target      on what it has to act; its report names the same
    report_to   http://127.0.0.1:PORT/playbooks/NAME, for `started`, `step` and `finished`

signed as the tool signs its reports: HMAC-SHA256 of timestamp, full stop and body. What is told is told once for each
incident and status, in their order; a firing that comes after its own resolution is not told.
"""

import asyncio
import contextlib
import json
import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import httpx

from tierdrill.documents.models.playbook import Playbook
from tierdrill.monitoring.webhook_receiver import SIGNATURE_HEADER, TIMESTAMP_HEADER, sign_at
from tierdrill.remediation.incident_book import AlertNotice, matches, notices_of
from tierdrill.remediation.substitution import bind

ATTEMPTS = 3
PAUSE_S = 0.2
TIMEOUT_S = 5.0
NO_TIME = "0001-01-01T00:00:00Z"
"""As Alertmanager writes the end of an alert that fires."""

Note = Callable[[str], object]


def secret_of(playbooks: Sequence[Playbook], name: str) -> str | None:
    """The shared secret of an external playbook; None where there is none of that name, or no secret here."""
    for playbook in playbooks:
        if playbook.metadata.name == name and playbook.external is not None and playbook.external.secret_env:
            return os.environ.get(playbook.external.secret_env)
    return None


def tool_secrets(playbooks: Sequence[Playbook]) -> list[str]:
    """The variables that hold the tools' secrets."""
    tools = [playbook.external for playbook in playbooks if playbook.external is not None]
    return [tool.secret_env for tool in tools if tool.secret_env]


def without_secret(playbooks: Sequence[Playbook], needed: Collection[str]) -> list[str]:
    """What is missing before the external playbooks that are `needed` can report at all."""
    return [
        f"{one.external.secret_env} is not set; it holds the secret with which {one.external.tool} signs what it "
        f"reports of playbook {one.metadata.name}"
        for one in playbooks
        if one.external is not None and one.metadata.name in needed
        if one.external.secret_env and not os.environ.get(one.external.secret_env)
    ]


def narrowed(body: Mapping[str, Any], alert: Mapping[str, Any]) -> dict[str, Any]:
    """Alertmanager's webhook body as it would be for this one of its alerts alone, with every key of version 4."""
    return {
        "version": "4",
        "groupKey": "",
        "receiver": "",
        "groupLabels": {},
        "externalURL": "",
        **body,
        "truncatedAlerts": 0,
        "status": alert["status"],
        "alerts": [{"annotations": {}, "endsAt": NO_TIME, "generatorURL": "", "fingerprint": "", **alert}],
        "commonLabels": alert.get("labels") or {},
        "commonAnnotations": alert.get("annotations") or {},
    }


class ToolHooks:
    """Posts alerts to the tools of a run, beside whatever else it does; a tool that does not answer is noted."""

    def __init__(
        self, playbooks: Sequence[Playbook], disabled: Collection[str], retarget: Mapping[str, str], note: Note
    ) -> None:
        self._playbooks = [
            one for one in playbooks if one.external and one.external.webhook and one.metadata.name not in disabled
        ]
        self._retarget = retarget
        self._note = note
        self._told: set[tuple[str, str, str]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._last: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._client: httpx.AsyncClient | None = None

    def alerts(self, body: Mapping[str, Any], receiver_url: str) -> None:
        """Take an Alertmanager body and tell the tools that wait for what is in it; never blocks."""
        for notice, alert in zip(notices_of(body), body["alerts"], strict=True):
            for playbook in self._playbooks:
                about = (playbook.metadata.name, notice.incident)
                known = {(*about, notice.status), (*about, "resolved")} & self._told
                if matches(playbook.match, notice) and not known:
                    self._told.add((*about, notice.status))
                    document = narrowed(body, alert)
                    task = asyncio.create_task(
                        self._tell(playbook, notice, document, receiver_url, after=self._last.get(about))
                    )
                    self._tasks.add(task)
                    self._last[about] = task
                    task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Tell nobody any more."""
        for task in list(self._tasks):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if self._client is not None:
            await self._client.aclose()

    async def _tell(
        self,
        playbook: Playbook,
        notice: AlertNotice,
        document: Mapping[str, Any],
        receiver_url: str,
        after: asyncio.Task[None] | None,
    ) -> None:
        if after is not None:
            await asyncio.wait({after})
        name, terms = playbook.metadata.name, playbook.external
        assert terms is not None
        assert terms.webhook is not None
        bound = bind(playbook, notice.alert, notice.labels, self._retarget.get(name))
        document = {
            **document,
            "playbook": name,
            "target": bound.target,
            "report_to": f"{receiver_url}/playbooks/{name}",
        }
        if secret := os.environ.get(terms.secret_env or ""):
            problem = await self._post(terms.webhook, json.dumps(document).encode(), secret)
        else:
            problem = f"{terms.secret_env} is not set"
        what = f"notified that {notice.alert} on {bound.target} is {notice.status}"
        self._note(f"{terms.tool} was NOT {what}: {problem}" if problem else f"{terms.tool} was {what}")

    async def _post(self, url: str, body: bytes, secret: str) -> str:
        """What went wrong, or nothing."""
        if self._client is None:
            self._client = httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False)
        problem = ""
        for attempt in range(ATTEMPTS):
            await asyncio.sleep(PAUSE_S * attempt)
            stamp = str(int(time.time()))
            headers = {
                "Content-Type": "application/json",
                SIGNATURE_HEADER: sign_at(secret, stamp, body),
                TIMESTAMP_HEADER: stamp,
            }
            try:
                answer = await self._client.post(url, content=body, headers=headers)
            except httpx.HTTPError as error:
                problem = f"{type(error).__name__} {error}".strip()
                continue
            if answer.is_success:
                return ""
            problem = f"it answered {answer.status_code}"
            if answer.is_client_error:
                break
        return problem
