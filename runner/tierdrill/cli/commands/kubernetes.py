"""`tierdrill kubernetes`: what a cluster's owner does beside running drills on it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from tierdrill.cli.commands.kubernetes_demo import demo
from tierdrill.cli.completion import complete_calendar, complete_drill
from tierdrill.cli.drill_documents import changed_setting, cluster_environment, usable_catalogue, whole_catalogue
from tierdrill.cli.errors import INCONCLUSIVE, Refusal, say
from tierdrill.cli.folders import Surroundings
from tierdrill.cli.options import echo_json, environment_option, json_option
from tierdrill.text import plural, table

if TYPE_CHECKING:
    from tierdrill.documents.catalogue import Catalogue
    from tierdrill.targets.kubernetes.cluster_check import ClusterCheck

NOT_READY, UNCLEAN = 1, 5
CHOSEN = "The cluster [default: the only environment with target: kubernetes]."
_drills = click.option(
    "--for", "drills", multiple=True, metavar="DRILL", shell_complete=complete_drill,
    help="Also what this drill needs; repeatable.",
)  # fmt: skip


class _Subject(click.ParamType):  # type: ignore[type-arg]
    name = "subject"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        kind, _, name = value.partition(":")
        if kind not in ("user", "group") or not name:
            self.fail(f"got {value!r}, expected user:NAME or group:NAME", param, ctx)
        return kind.capitalize(), name


class _Secret(click.ParamType):  # type: ignore[type-arg]
    name = "secret"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        secret, _, folder = value.partition(":")
        if not secret or not folder.startswith("/"):
            self.fail(f"got {value!r}, expected SECRET:/FOLDER", param, ctx)
        return secret, folder


@click.group("kubernetes")
def command() -> None:
    """Check a cluster, print the roles it needs or a deployment to try drills with, or clean up."""


command.add_command(demo)
TEMPLATE = """\
# An environment on a Kubernetes cluster: change it to say what is there, and save it below drills/. Then
# `tierdrill validate`, and `tierdrill kubernetes check` asks the cluster itself.
apiVersion: tierdrill/v1
kind: Environment
metadata: {{name: my-cluster, owner: {owner}}}
target: kubernetes
tiers: {tiers}
workloads: {workloads}
pace: 20                      # a second of a drill's document takes 20 s here
traffic: 10                   # and its load sends ten times the requests
kubernetes:
  context: my-cluster         # as `kubectl config get-contexts` lists it
  # cluster: UID              # `tierdrill kubernetes check` prints it: no other cluster is ever touched
  tiers:                      # whose pods serve each tier
{pods}
load: {{url: https://inference.example.org/v1}}
monitoring:
  prometheus: {{url: https://prometheus.example.org}}
  alertmanager: {{url: https://alertmanager.example.org}}
  alerts: {{NodeNotReady: {{alert: KubeNodeNotReady, labels: {{node: node}}}}, Watchdog: {{alert: Watchdog}}}}
"""


@command.command("template")
@click.pass_obj
def template(here: Surroundings) -> None:
    """Print an environment on a cluster, to begin with.

    With the catalogue's tiers; change it to say what is there.
    """
    catalogue = usable_catalogue(here.catalogue)
    workloads = next(iter(catalogue.workloads.values()), None)
    if workloads is None:
        raise Refusal(f"no workloads in {here.catalogue}, expected a Workloads document")
    tiers = catalogue.tiers[workloads.tiers]
    pods = [f'    {tier.name}: {{namespaces: [serving], selector: "tier={tier.name}"}}' for tier in tiers.tiers]
    named = {"owner": tiers.metadata.owner, "tiers": workloads.tiers, "workloads": workloads.metadata.name}
    click.echo(TEMPLATE.format(**named, pods="\n".join(pods)), nl=False)


@command.command("check")
@environment_option(CHOSEN)
@_drills
@json_option
@click.pass_obj
def check(here: Surroundings, environment: str | None, drills: tuple[str, ...], as_json: bool) -> int:
    """Ask a cluster whether drills can run there.

    Also shows what the drills' names stand for there. Nothing is changed.

    Exit code 0 if they can, 1 if something is missing, 3 if the cluster does not answer.
    """
    document, settings, workloads = cluster_environment(here.catalogue, environment)
    from tierdrill.targets.kubernetes.api_errors import ApiError
    from tierdrill.targets.kubernetes.cluster_check import check_cluster
    from tierdrill.targets.kubernetes.drill_permissions import needed

    try:
        permissions = needed(settings, *_asked_for(here, drills, environment or document.metadata.name))
        found = check_cluster(document, workloads, permissions)
    except ApiError as error:
        if error.status:
            raise
        say(str(error))
        return INCONCLUSIVE
    fine = all(one.ok for one in found.findings)
    if as_json:
        echo_json(
            {
                "ok": fine,
                "server": found.server,
                "version": found.version,
                "cluster": found.uid,
                "findings": [asdict(one) for one in found.findings],
                "names": found.names.plain(),
                "remarks": list(found.remarks),
            }
        )
    else:
        _show(found)
    return 0 if fine else NOT_READY


@command.command("rbac")
@environment_option(CHOSEN)
@_drills
@click.option("--bind", "subjects", type=_Subject(), multiple=True, metavar="user:NAME|group:NAME",
              help="Who else runs drills, beside the service account; repeatable.")  # fmt: skip
@click.option("--any-node", is_flag=True, help="Let any node be changed, not only those that have opted in now.")
@click.option("--admission", is_flag=True, help="Also a policy that holds tierdrill to what has opted in.")
@click.pass_obj
def rbac(
    here: Surroundings,
    environment: str | None,
    drills: tuple[str, ...],
    subjects: tuple[tuple[str, str], ...],
    any_node: bool,
    admission: bool,
) -> None:
    """Print the roles that drills need.

    Ready for `kubectl apply -f -`.

    Without --for what `check` and `plan` need, which change nothing. The nodes that a drill may change are named: the
    cluster is asked for those that have opted in.
    """
    document, settings, _ = cluster_environment(here.catalogue, environment)
    import yaml

    from tierdrill.targets.kubernetes.connect import Cluster, path_of
    from tierdrill.targets.kubernetes.drill_permissions import needed
    from tierdrill.targets.kubernetes.manifests.rbac import admission_objects, role_objects
    from tierdrill.targets.kubernetes.records import node_of

    permissions = needed(settings, *_asked_for(here, drills, environment or document.metadata.name))
    nodes = None
    if any(one.changes_nodes for one in permissions) and not any_node:
        there = Cluster.of(settings).records(path_of("nodes"), node_of)
        nodes = sorted(node.name for node in there if settings.opted_in(node.labels))
        if not nodes:
            raise Refusal("no node has opted in; label one, or say --any-node")
    objects = role_objects(settings, permissions, subjects, nodes)
    objects += admission_objects(settings) if admission else []
    click.echo(yaml.safe_dump_all(objects, sort_keys=False, width=120, explicit_start=True), nl=False)


@command.command("cleanup")
@environment_option(CHOSEN)
@click.option("--dry-run", is_flag=True, help="Only show what is there.")
@json_option
@click.pass_obj
def cleanup(here: Surroundings, environment: str | None, dry_run: bool, as_json: bool) -> int:
    """Undo and take away all that drills have left on a cluster.

    Looks until nothing is left.

    Exit code 0 when nothing is left, 5 when something is (with --dry-run: is found).
    """
    document, settings, _ = cluster_environment(here.catalogue, environment)
    from tierdrill.targets.kubernetes.sweep import leftovers, place_for, sweep

    place = place_for(document.metadata.name, settings)
    told: list[str] = []
    if dry_run:
        left = leftovers(place.cluster, settings, say)
    else:
        left = sweep(place, told.append if as_json else click.echo, say)
    if as_json:
        found = [{"what": one.what, "run": one.run, "path": one.path} for one in left]
        echo_json({"dry_run": dry_run, "done": told, "left": found, "clean": not left})
    else:
        for one in left:
            click.echo(f"{'found' if dry_run else 'still there'}: {one.what}{f' (run {one.run})' * bool(one.run)}")
        click.echo("nothing is left" if not left else f"{plural(len(left), 'object')} left")
    return UNCLEAN if left else 0


@command.command("cronjob")
@click.argument("calendars", metavar="CALENDAR...", nargs=-1, required=True, shell_complete=complete_calendar)
@environment_option(CHOSEN)
@click.option("--image", required=True, help="Image with tierdrill; with --host-python any image the nodes have.")
@click.option("--host-python", is_flag=True, help="Mount this machine's Python and programs into the pod.")
@click.option("--every", type=click.Choice(["1", "2", "5", "10", "15", "20", "30"]), default="10", show_default=True,
              help="How often it looks for what is due, in minutes.")  # fmt: skip
@click.option("--claim", metavar="NAME", help="PersistentVolumeClaim for its home [default: a new one].")
@click.option("--secret", "secrets", type=_Secret(), multiple=True, metavar="SECRET:/FOLDER",
              help="Mount a Secret where the documents expect its files; repeatable.")  # fmt: skip
@click.option("--suspend", is_flag=True, help="Make it, and let it start nothing yet.")
@click.pass_obj
def cronjob(
    here: Surroundings,
    calendars: tuple[str, ...],
    environment: str | None,
    image: str,
    host_python: bool,
    every: str,
    claim: str | None,
    secrets: tuple[tuple[str, str], ...],
    suspend: bool,
) -> None:
    """Print a CronJob that runs calendars' drills in the cluster.

    Ready for `kubectl apply -f -`.

    It runs `tierdrill scheduler --once` with the catalogue's documents: windows, blackouts, gates and retries are
    kept. The roles come from `tierdrill kubernetes rbac --for DRILL...`.
    """
    import yaml

    from tierdrill.did_you_mean import none_named
    from tierdrill.documents.catalogue_reader import catalogue_files
    from tierdrill.targets.kubernetes.manifests.cronjob import CronJobOptions, cronjob_objects

    document, settings, _ = cluster_environment(here.catalogue, environment)
    catalogue = whole_catalogue(here.catalogue)
    name = document.metadata.name
    if name not in catalogue.environments:
        whose = f"environment {name} is not in the catalogue {here.catalogue}, whose documents the pod gets"
        raise Refusal(f"{whose}: copy its file there, beside drills/platform/lab.yaml")
    for calendar in calendars:
        if calendar not in catalogue.calendars:
            raise Refusal(none_named("calendar", calendar, catalogue.calendars, f" in {here.catalogue}"))
        _refuse_elsewhere(catalogue, calendar, name)
    documents = [*(catalogue_files(here.catalogue) or ()), *(here.catalogue / "drills").rglob("*.ics")]
    files = {str(path.relative_to(here.catalogue)): path.read_text(encoding="utf-8") for path in sorted(documents)}
    options = CronJobOptions(image, int(every), calendars, claim, secrets, suspend, host_python)
    objects = cronjob_objects(settings, files, options)
    click.echo(yaml.safe_dump_all(objects, sort_keys=False, width=120, explicit_start=True), nl=False)


def _refuse_elsewhere(catalogue: Catalogue, calendar: str, environment: str) -> None:
    """Refusal for a calendar whose drills run in another environment: a pod brings up no lab."""
    document = catalogue.calendars[calendar]
    for entry in document.entries:
        for drill in document.drills_of(entry):
            where = document.environment_of(entry) or catalogue.drills[drill].environment
            if entry.enabled and where != environment:
                raise Refusal(
                    f"calendar {calendar}, entry {entry.name}: drill {drill} runs in environment {where}, "
                    f"expected {environment}"
                )


def _asked_for(
    here: Surroundings, drills: tuple[str, ...], environment: str
) -> tuple[list[str] | None, tuple[str, ...]]:
    """The kinds of fault that these drills inject (None without drills), with SABOTAGE where one of their sabotages
    needs what a fault does, and the kinds of custom resources that they look for.
    """
    from tierdrill.documents.reading.fault_actions import calls
    from tierdrill.targets.base import SABOTAGE

    settings = [changed_setting(here.catalogue, drill, (), (), environment) for drill in drills]
    found = (call.fault.kind for one in settings for call in calls(one.experiment) if call.section == "method")
    seen_by = (kind for one in settings for kind in one.custom_resources)
    cut = (SABOTAGE for one in settings for each in one.drill.sabotages if each.do.freeze_exporter is not None)
    return list(dict.fromkeys((*found, *cut))) if drills else None, tuple(dict.fromkeys(seen_by))


def _show(found: ClusterCheck) -> None:
    click.echo(table([("ok" if one.ok else "MISSING", one.name, one.seen) for one in found.findings]))
    if names := found.names.plain():
        rows = [(alias, ref["kind"], ref["namespace"] or "-", ref["name"]) for alias, ref in names.items()]
        click.echo("\n" + table(rows, ("name", "kind", "namespace", "stands for"), "  "))
    if found.remarks:
        click.echo("\n" + "\n".join(f"  {one}" for one in found.remarks))
    missing = sum(not one.ok for one in found.findings)
    click.echo(f"\n{missing} missing" if missing else "\nready for drills")
