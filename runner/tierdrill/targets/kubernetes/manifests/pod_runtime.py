"""What pods of tierdrill's own programs run on: an image that has them, or this machine's Python mounted into any.

The latter is for clusters whose nodes see this machine's files (a rig on one machine): it needs no registry.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tierdrill
from tierdrill.process.programs import Program, program

Json = dict[str, Any]

NOBODY = 65534
_SYSTEM = ("/usr", "/lib", "/lib64")


@dataclass(frozen=True)
class PodRuntime:
    """An image, the user that its programs run as, and folders of the node that are mounted, read-only, in place."""

    image: str
    python: str = "python3"
    user: int = NOBODY
    folders: tuple[str, ...] = ()

    def command(self, module: Program) -> list[str]:
        """The command line of one of our programs."""
        return [self.python, *program(module)[1:]]

    def restricted(self) -> bool:
        """Whether its pods pass the Pod Security Standard of that name, which mounts nothing of the node."""
        return not self.folders

    def container(self, name: str, command: Sequence[str], **more: Any) -> Json:
        """A container without any privilege; `more` are further fields, whose mounts are added to its own."""
        mounts = [{"name": f"host-{number}", "mountPath": path, "readOnly": True} for number, path in self._numbered()]
        return {
            "name": name,
            "image": self.image,
            **({"imagePullPolicy": "Never"} if self.folders else {}),
            "command": list(command),
            "securityContext": {
                "runAsNonRoot": self.user != 0,
                "runAsUser": self.user,
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            **more,
            "volumeMounts": [*mounts, *more.get("volumeMounts", ())],
        }

    def volumes(self) -> list[Json]:
        return [{"name": f"host-{number}", "hostPath": {"path": path}} for number, path in self._numbered()]

    def _numbered(self) -> Iterable[tuple[int, str]]:
        return enumerate(self.folders)


def host_python(image: str, more: Iterable[Path] = ()) -> PodRuntime:
    """This interpreter with all that it imports, as the user that can read it, in an image of which nothing is used."""
    own = (Path(sys.prefix), Path(sys.base_prefix), Path(tierdrill.__file__).resolve().parents[1], *more)
    wanted = [path for path in (*map(Path, _SYSTEM), *own) if path.is_dir()]
    folders = [path for path in wanted if not any(path != other and path.is_relative_to(other) for other in wanted)]
    return PodRuntime(image, sys.executable, os.getuid(), tuple(dict.fromkeys(map(str, folders))))
