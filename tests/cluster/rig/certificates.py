"""The certificates, keys and tokens of one cluster, new at each start, and the kubeconfigs made of them."""

from __future__ import annotations

import base64
import json
import secrets
from pathlib import Path

from .instance import CONTROL_ADDRESS, FIRST_SERVICE, Instance, run

NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
NAMES = f"IP:127.0.0.1,IP:{CONTROL_ADDRESS},IP:{FIRST_SERVICE},DNS:localhost,DNS:kubernetes.default.svc"
USERS = {
    "admin": ("admin", "system:masters"),
    "kube-controller-manager": ("system:kube-controller-manager", ""),
    "kube-scheduler": ("system:kube-scheduler", ""),
    "kube-proxy": ("system:kube-proxy", ""),
}
"""Who has a kubeconfig, beside the nodes: the user's name in the cluster and its group."""


class Certificates:
    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.folder = instance.folder / "pki"
        self.ca = self.folder / "ca.crt"
        self.tokens = self.folder / "tokens"

    def make(self, nodes: list[str]) -> None:
        """All of them, and a kubeconfig for each user and node."""
        self.folder.mkdir(parents=True, mode=0o700)
        at = self.folder
        run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", f"{at}/sa.key")
        run("openssl", "pkey", "-in", f"{at}/sa.key", "-pubout", "-out", f"{at}/sa.pub")
        ca = ("-x509", "-days", "30", "-subj", f"/CN=tierdrill {self.instance.name}")
        run("openssl", "req", *NEW_KEY, *ca, "-keyout", f"{at}/ca.key", "-out", str(self.ca))
        self._sign("api", "/CN=kube-apiserver", f"subjectAltName={NAMES}")
        self._sign("kubelet-client", "/O=system:masters/CN=kube-apiserver", "extendedKeyUsage=clientAuth")
        users = dict(USERS) | {node: (f"system:node:{node}", "system:nodes") for node in nodes}
        rows = []
        for name, (user, group) in users.items():
            token = secrets.token_urlsafe(24)
            rows.append(f'{token},{user},{name},"{group}"\n')
            self._kubeconfig(self.kubeconfig(name), f"https://{CONTROL_ADDRESS}:6443", name, token)
            if name == "admin":
                (at / "admin.token").write_text(token)
                server = f"https://127.0.0.1:{self.instance.port('api')}"
                self._kubeconfig(self.instance.kubeconfig, server, name, token)
        self.tokens.write_text("".join(rows))

    def kubeconfig(self, user: str) -> Path:
        """For use inside the cluster's network."""
        return self.folder / f"{user}.kubeconfig"

    def _sign(self, name: str, subject: str, extension: str) -> None:
        at = self.folder / name
        run("openssl", "req", *NEW_KEY, "-subj", subject, "-keyout", f"{at}.key", "-out", f"{at}.csr")
        at.with_suffix(".ext").write_text(extension)
        ca = ("-CA", str(self.ca), "-CAkey", f"{self.folder}/ca.key", "-CAcreateserial", "-days", "30")
        run("openssl", "x509", "-req", "-in", f"{at}.csr", *ca, "-extfile", f"{at}.ext", "-out", f"{at}.crt")

    def _kubeconfig(self, path: Path, server: str, user: str, token: str) -> None:
        """JSON, which every reader of YAML reads."""
        cluster = {"server": server, "certificate-authority-data": base64.b64encode(self.ca.read_bytes()).decode()}
        name = f"tierdrill-{self.instance.name}"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": cluster}],
            "users": [{"name": user, "user": {"token": token}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": user}}],
            "current-context": name,
        }
        path.touch(mode=0o600)
        path.write_text(json.dumps(config, indent=1) + "\n")
