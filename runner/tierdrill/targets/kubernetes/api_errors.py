"""What the API server answered instead of what was asked for, in words that say what to do about it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tierdrill.targets.base import TargetError

WORDS_MAX = 600
_UNREACHABLE = (
    ("CERTIFICATE_VERIFY_FAILED", "its certificate is not signed by the kubeconfig's certificate-authority"),
    ("Connection refused", "connection refused: no API server listens there; is the cluster up?"),
    ("Name or service not known", "its name cannot be resolved"),
    ("Temporary failure in name resolution", "its name cannot be resolved"),
    ("timed out", "no answer in time; is the cluster up, and can this machine reach it?"),
    ("No route to host", "no route there from this machine"),
)


class ApiError(TargetError):
    """A call of the Kubernetes API that failed.

    `status` is the HTTP status, 0 where there was no answer; `reason` and `causes` (of each its reason) are as the
    server gave them, such as NotFound, or TooManyRequests because of DisruptionBudget; `body` is all that it said.
    """

    def __init__(
        self, text: str, status: int = 0, reason: str = "", causes: tuple[str, ...] = (), body: bytes | str = b""
    ) -> None:
        super().__init__(text)
        self.status, self.reason, self.causes, self.body = status, reason, causes, body


class WatchSilent(ApiError):
    """A watch said nothing, not even a bookmark, for so long that its connection must be taken for lost."""


def unreachable(where: str, error: BaseException) -> ApiError:
    """No answer came."""
    said = str(error) or type(error).__name__
    known = next((words for part, words in _UNREACHABLE if part in said), said[:WORDS_MAX])
    return ApiError(f"{where} cannot be reached: {known}")


def refused(where: str, status: int, body: bytes | str, reason: str = "") -> ApiError:
    """An answer with a status from 400 on; `body` is a Status object where the API server itself gave it."""
    told = _status(body)
    message = str(told.get("message") or "")[:WORDS_MAX] or f"HTTP {status} {reason}".rstrip()
    causes = (told.get("details") or {}).get("causes") or ()
    return ApiError(
        f"{where}: {message}{_advice(status, message)}",
        status,
        str(told.get("reason") or reason),
        tuple(str(one.get("reason") or "") for one in causes if isinstance(one, Mapping)),
        body,
    )


def _status(body: bytes | str) -> Mapping[str, Any]:
    try:
        told = json.loads(body)
    except ValueError:
        return {}
    return told if isinstance(told, dict) and told.get("kind") == "Status" else {}


def _advice(status: int, message: str) -> str:
    if status == 401:
        return "; the credentials are refused: the token has expired or was revoked; log in again, or renew it"
    if status == 403 and " cannot " in message:
        return "; `tierdrill kubernetes rbac` prints the roles that drills need"
    if status == 403 and "PodSecurity" in message:
        return "; the namespace's pod-security.kubernetes.io/enforce label decides this"
    if status == 410:
        return "; what was asked for is older than what the server remembers: list again"
    return ""


def asked_pause(answer: Any) -> float | None:
    """The seconds that the server asks to wait, where it asks for it."""
    try:
        return max(0.0, float(answer.headers.get("Retry-After", ""))) if answer.status in (429, 503) else None
    except ValueError:
        return None
