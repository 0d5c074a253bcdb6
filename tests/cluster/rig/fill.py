"""Writes many nodes and pods straight into a cluster's etcd, as copies of those that it has. Run where etcd listens:

    cluster exec python fill.py TEMPLATES.json

TEMPLATES: {"nodes": {"number": N, "from": NODE}, "pods": [{"number": N, "prefix": TEXT, "from": POD}, ...]}. Nobody
looks after the copies: without a controller manager they stay as they are.
"""

import base64
import copy
import http.client
import json
import sys
import uuid
from pathlib import Path

PUTS = 60
"""In one transaction; etcd takes 128."""


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def put(connection: http.client.HTTPConnection, objects: dict[str, dict]) -> None:
    puts = [
        {"requestPut": {"key": encoded(key), "value": encoded(json.dumps(one, separators=(",", ":")))}}
        for key, one in objects.items()
    ]
    connection.request("POST", "/v3/kv/txn", json.dumps({"success": puts}))
    answer = connection.getresponse()
    said = answer.read()
    if answer.status != 200:
        raise SystemExit(f"etcd: {answer.status} {said[:300].decode(errors='replace')}")


def copies(original: dict, kind: str, names: list[str]) -> list[dict]:
    """New objects of these names, each with a uid of its own."""
    found = []
    for name in names:
        one = copy.deepcopy(original)
        one |= {"apiVersion": "v1", "kind": kind}
        one["metadata"] |= {"name": name, "uid": str(uuid.uuid4())}
        one["metadata"].pop("resourceVersion", None)
        found.append(one)
    return found


def main() -> None:
    wanted = json.loads(Path(sys.argv[1]).read_text())
    connection = http.client.HTTPConnection("127.0.0.1", 2379)
    hosts = [f"copy-{number:05}" for number in range(wanted["nodes"]["number"])]
    objects = {}
    for node in copies(wanted["nodes"]["from"], "Node", hosts):
        node["metadata"]["labels"]["kubernetes.io/hostname"] = node["metadata"]["name"]
        objects[f"/registry/minions/{node['metadata']['name']}"] = node
    for group in wanted["pods"]:
        names = [f"{group['prefix']}-{number:05}" for number in range(group["number"])]
        for number, pod in enumerate(copies(group["from"], "Pod", names)):
            pod["spec"]["nodeName"] = hosts[number % len(hosts)]
            objects[f"/registry/pods/{pod['metadata']['namespace']}/{pod['metadata']['name']}"] = pod
    keys = list(objects)
    for first in range(0, len(keys), PUTS):
        put(connection, {key: objects[key] for key in keys[first : first + PUTS]})


main()
