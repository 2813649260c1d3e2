"""stan-ft check: judges manifests, charts or a live namespace by the FT invariants."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from stanft import invariants
from stanft.cli import where
from stanft.ground.errors import UserError
from stanft.ground.textfile import write
from stanft.invariants import sarif, show, sources
from stanft.kube import charts, kubeschema, objects

EPILOG = """examples:
  stan-ft check my-manifests/ --namespace messaging
  stan-ft check charts/stan-ft charts/efs-provisioner --set fileSystem.id=fs-0123456789abcdef0
  helm get manifest stan | stan-ft check - --format junit --output check.xml
  stan-ft check --context prod --namespace messaging
  stan-ft check manifests/ --format sarif --output stan-ft.sarif      for code review

exit codes: 0 the invariants hold, 1 at least one error (with --strict: or warning), 2 the check could not be made
(or found no server that could pass, or could not read what it is told)."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="stan-ft check",
        description="Judge Kubernetes objects that run NATS Streaming in fault-tolerant mode by the FT invariants.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument(
        "paths",
        nargs="*",
        metavar="PATH",
        help="manifest file, directory of manifests, chart directory (rendered by helm), or - for standard input; "
        "without any, what is in the live namespace is judged",
    )
    where.add_options(made)
    made.add_argument(
        "--values", "-f", action="append", default=[], type=Path, metavar="FILE", help="values for charts"
    )
    made.add_argument("--environment", "-e", help="values for charts from environments/NAME beside them")
    made.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="one value for charts, as helm --set"
    )
    made.add_argument("--kube-version", help=f"Kubernetes to judge for, one of {', '.join(kubeschema.versions())}")
    made.add_argument("--only", action="append", metavar="NAME", help="judge by this invariant only (repeatable)")
    made.add_argument(
        "--part",
        action="store_true",
        help="these objects are a part of a whole, which may pass without a server or its configuration",
    )
    made.add_argument("--strict", action="store_true", help="warnings fail the check too")
    made.add_argument("--format", choices=sorted([*show.FORMATS, "sarif"]), default="table", help="default: table")
    made.add_argument("--output", type=Path, metavar="FILE", help="write there instead of standard output")
    made.add_argument("--list", action="store_true", help="list the invariants and end")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Run the check; 0 the invariants hold, 1 they do not. Raises UserError if it cannot be made."""
    options = parser().parse_args(arguments)
    if options.list:
        for each in invariants.invariants():
            print(f"{each.severity:8}  {each.name:24}  {each.sentence}")
        return 0
    kubeschema.supported(options.kube_version)
    _known(options.only)
    skipped: list[str] = []
    items = _items(options, skipped)
    outcomes = invariants.check(
        items,
        namespace=options.namespace,
        kube_version=options.kube_version,
        only=options.only,
        live=not options.paths,
    )
    servers = invariants.Manifests(items, options.namespace).servers
    unread = [f"{objects.label(each.workload)} ({'; '.join(each.unseen)})" for each in servers if not each.known]
    skipped += [f"{objects.label(each)}: it names what is to be rendered" for each in items if _is_wrapper(each)]
    scope = show.Scope(len(items), len(servers), skipped, unread)
    if options.format == "sarif":
        default = next(iter(options.paths), "") if options.paths != ["-"] else ""
        text = sarif.sarif(outcomes, sarif.places(options.paths), default or "cluster") + "\n"
    else:
        text = show.FORMATS[options.format](outcomes, scope, options.strict)
    if options.output:
        write(options.output, text)
    else:
        print(text, end="")
    verdict = show.verdict(outcomes, scope, options.strict)
    if verdict == "no server" and not options.part:
        raise UserError(_no_server(items))
    if verdict == "not read" and not options.part:
        raise UserError(
            f"what a server is told could not be read, so it cannot pass: {', '.join(unread)}. Add the object that "
            "holds it, or say with --part that this is a part of a whole."
        )
    return 1 if verdict == "violated" else 0


# API group -> kinds that name a chart or a folder, which a controller renders.
_WRAPPERS = {
    "helm.toolkit.fluxcd.io": ("HelmRelease",),
    "kustomize.toolkit.fluxcd.io": ("Kustomization",),
    "argoproj.io": ("Application", "ApplicationSet"),
    "helm.cattle.io": ("HelmChart",),
    "fleet.cattle.io": ("Bundle", "GitRepo"),
    "helm.crossplane.io": ("Release",),
    "kustomize.config.k8s.io": ("Kustomization",),
}


def _is_wrapper(item: objects.Object) -> bool:
    return item.get("kind") in _WRAPPERS.get(str(item.get("apiVersion", "")).partition("/")[0], ())


def _no_server(items: list[objects.Object]) -> str:
    """Why a check without a server cannot pass, with what may be meant."""
    wrapped = [objects.label(each) for each in items if _is_wrapper(each)]
    if wrapped:
        return (
            f"no NATS Streaming server among these objects: {', '.join(wrapped)} only names what is to be rendered. "
            "Render it with its values, and check what comes out: helm template ... | stan-ft check -"
        )
    old = next((objects.label(each) for each in items if each.get("kind") == "NatsStreamingCluster"), None)
    if old:
        return (
            f"no NATS Streaming server among these objects: {old} is a resource of the old operator, which makes bare "
            "pods of it. Check those manifests that are to take its place."
        )
    return (
        "no NATS Streaming server among these objects, so nothing was found that could pass. A server is recognised by "
        "its program, its options (-sc, -ft_group, -cid), or an image with nats-streaming in its name."
    )


def _known(names: list[str] | None) -> None:
    known = [each.name for each in invariants.invariants()]
    for name in names or []:
        if name not in known:
            raise UserError(f"there is no invariant {name}: stan-ft check --list names them all.")


def _items(options: argparse.Namespace, skipped: list[str]) -> list[objects.Object]:
    cluster = options.context or options.kubeconfig
    if options.paths and cluster:
        raise UserError("give either paths or a cluster (--context, --kubeconfig), not both.")
    if not options.paths:
        if not cluster and not options.namespace:
            raise UserError("nothing to check: name manifests or charts, or a live namespace with -n. See --help.")
        found = where.find(options)
        options.namespace = found.namespace
        return sources.from_namespace(found.namespace, context=found.context, kubeconfig=found.kubeconfig)
    if not options.environment and not options.values and not options.set:
        return sources.from_paths(options.paths, _chart_options(options, {}), skipped)
    return [
        item
        for path in options.paths
        for item in sources.from_paths([path], _chart_options(options, _values(options, path)), skipped)
    ]


def _values(options: argparse.Namespace, path: str) -> dict[str, Any]:
    layers: list[dict[str, Any]] = []
    if options.environment:
        chart = Path(path).resolve()
        if not (chart / "Chart.yaml").is_file():
            raise UserError(f"--environment is for charts, and {path} is none: leave the option or the path away.")
        layers.append(charts.environment(options.environment, chart))
    for file in options.values:
        layers.append(charts.values_file(file))
    return charts.layered(*layers)


def _chart_options(options: argparse.Namespace, values: dict[str, Any]) -> dict[str, Any]:
    return {
        "values": values,
        "set": options.set,
        "namespace": options.namespace or "default",
        "kube_version": options.kube_version,
    }
