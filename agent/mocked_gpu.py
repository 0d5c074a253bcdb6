"""What an emulated GPU reports, as nvml-mock is told it: a file of overrides in a container, which is read and changed
from inside that container's own mounts, so that no link in it leads anywhere else.
"""

from __future__ import annotations

import json
import os
import select
from collections.abc import Callable
from typing import Any

from fault import NOTHING, REVERTED, Fault, Refused
from namespaces import CLONE_NEWNS, end_child, enter_namespace, in_child
from processes import in_pod

WITHIN_S = 5.0
FILE_MAX = 1 << 20

Document = dict[str, Any]
Change = Callable[[Document], Document]


def in_container(pid: int, path: str, change: Change | None) -> Document | None:
    """The file of a container, as it is or as it is after the change; None where it is not there.

    Refused where it cannot be read or written.
    """
    heard, says = os.pipe()

    def work() -> None:
        os.chdir("/")
        try:
            with open(path, encoding="utf-8") as file:  # noqa: PTH123
                document = json.loads(file.read(FILE_MAX))
            if change is not None:
                document = change(document)
                unfinished = f"{path}.tierdrill"
                with open(unfinished, "w", encoding="utf-8") as file:  # noqa: PTH123
                    json.dump(document, file)
                before = os.stat(path)  # noqa: PTH116
                os.chown(unfinished, before.st_uid, before.st_gid)
                os.chmod(unfinished, before.st_mode & 0o777)  # noqa: PTH101
                os.replace(unfinished, path)  # noqa: PTH105
            told = {"document": document}
        except FileNotFoundError:
            told = {}
        except (OSError, ValueError) as error:
            told = {"error": f"{path}: {error}"}
        text = json.dumps(told).encode()
        while text:
            text = text[os.write(says, text) :]

    child = in_child(work, before=lambda: enter_namespace(f"/proc/{pid}/ns/mnt", CLONE_NEWNS), output=says)
    os.close(says)
    text = b""
    while select.select([heard], [], [], WITHIN_S)[0] and (data := os.read(heard, 1 << 16)):
        text += data
    os.close(heard)
    end_child(child)
    told = json.loads(text) if text else {"error": f"the mounts of process {pid} cannot be entered"}
    if "error" in told:
        raise Refused(str(told["error"]))
    document = told.get("document")
    return dict(document) if isinstance(document, dict) else None


class Overrides(Fault):
    """`set` are overrides of the device `gpu` in a pod's `file`; what was there before comes back, as far as nobody
    else has changed it since.
    """

    def bind(self) -> dict[str, Any]:
        wanted = self.parameters.get("set")
        if not isinstance(wanted, dict) or not wanted or not str(self.parameters.get("file", "")).startswith("/"):
            raise Refused("expected `set`, the overrides of a device, and `file`, an absolute path")
        devices = self._find(None).get("devices") or {}
        now = devices.get(self._device) or {}
        return {"before": {key: now.get(key) for key in wanted}}

    @property
    def _device(self) -> str:
        return str(int(self.number("gpu", 0, 63, 0)))

    def _find(self, change: Change | None) -> Document:
        """The file where one of the pod's processes has it. Refused where none has."""
        for one in sorted(in_pod(self.target.get("pod", "")), key=lambda one: one.start):
            document = in_container(one.pid, self.parameters["file"], change)
            if document is not None:
                return document
        raise Refused(f"no container of pod {self.target.get('pod')} has a file {self.parameters['file']}")

    def _changed(self, wanted: Document, only: Document | None = None) -> Change:
        """`wanted` in the device's overrides, None for what shall not be there; with `only` where that stands now."""

        def change(document: Document) -> Document:
            devices = dict(document.get("devices") or {})
            values = dict(devices.pop(self._device, {}))
            for key, value in wanted.items():
                if only is not None and values.get(key) != only[key]:
                    continue
                values.pop(key, None)
                values.update({key: value} if value is not None else {})
            devices.update({self._device: values} if values else {})
            return {**document, "devices": devices}

        return change

    def apply(self) -> None:
        self._find(self._changed(self.parameters["set"]))

    def undo(self) -> str:
        if not in_pod(self.target["pod"]) or not self.look()[0]:
            return NOTHING
        self._find(self._changed(self.found["before"], self.parameters["set"]))
        return REVERTED

    def look(self) -> tuple[bool, str]:
        if not in_pod(self.target["pod"]):
            return False, "the pod is gone"
        now = (self._find(None).get("devices") or {}).get(self._device) or {}
        stands = any(now.get(key) == value for key, value in self.parameters["set"].items())
        return stands, f"overrides of GPU {self._device}: {json.dumps(now, sort_keys=True)}"
