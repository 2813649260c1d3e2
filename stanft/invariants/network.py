"""Invariants on the network: routes that complete the mesh, Services that reach the pods, ports that agree."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from stanft.conf import url
from stanft.conf.parse import Variable
from stanft.invariants.config import readable
from stanft.invariants.model import Manifests, Severity, Unseen, invariant
from stanft.invariants.servers import Container, Server
from stanft.kube import objects
from stanft.kube.objects import Object, dig

_PURPOSES = ("client", "cluster", "monitor")


def stateful(manifests: Manifests) -> list[Server]:
    """The servers of StatefulSets: the only ones whose pods have names to route to."""
    return [server for server in manifests.servers if server.workload.get("kind") == "StatefulSet"]


def routing(manifests: Manifests) -> list[Server]:
    """The servers of StatefulSets that embed NATS, or may: only they have routes to each other."""
    return [server for server in stateful(manifests) if server.embedded]


def meshed(manifests: Manifests) -> list[Server]:
    """The servers of StatefulSets that embed NATS (not those that connect to another NATS)."""
    return [
        server
        for server in stateful(manifests)
        if server.known and server.embedded and manifests.group_size(server) > 1
    ]


def nameless(manifests: Manifests) -> list[Server]:
    """The servers of FT groups that embed NATS in other workloads than StatefulSets."""
    return [
        server
        for server in manifests.servers
        if server.workload.get("kind") != "StatefulSet"
        and server.known
        and server.embedded
        and server.group[1] is not None
        and manifests.group_size(server) > 1
    ]


def monitors(manifests: Manifests) -> list[Object]:
    """Whatever tells Prometheus what to scrape."""
    return manifests.of("ServiceMonitor", "PodMonitor")


def services(manifests: Manifests) -> list[Object]:
    """The Services with a selector, where there are workloads to select."""
    return [item for item in manifests.of("Service") if dig(item, "spec.selector") and manifests.workloads]


@invariant(
    "routes-complete", meshed, "List one route per replica: nats://<pod>.<service>.<namespace>.svc:<cluster port>."
)
def routes_complete(manifests: Manifests, server: Server) -> Iterator[str | Unseen]:
    """Every server has a route to every replica: the FT heartbeat and the clients' messages travel over them."""
    yield from _gaps(manifests, server)


@invariant(
    "routes-lead-to-pods",
    nameless,
    "Name a headless Service over the pods in the routes, or use one StatefulSet.",
    Severity.WARNING,
)
def routes_lead_to_pods(manifests: Manifests, server: Server) -> Iterator[str | Unseen]:
    """The routes of servers whose pods have no names (Deployments) go through a headless Service, to all of them."""
    yield from _gaps(manifests, server)


def _gaps(manifests: Manifests, server: Server) -> Iterator[str | Unseen]:
    if server.replicas > 1 and isinstance(name := server.nats.get("server_name"), str) and not server.differs(name):
        yield f"all {server.replicas} servers are called {name} (server_name), and those of one name refuse each other"
    found, hidden = _routes(server)
    if hidden:
        yield Unseen(f"routes come from {', '.join(hidden)}, whose value is not among these objects")
        return
    pods = {pod for mate in manifests.mates(server) for pod in _pods(mate)}
    reached: set[str] = set()
    for host, _port in found:
        led = _led_to(manifests, server, host)
        if isinstance(led, str):
            yield led
        else:
            reached |= led
    alone = {pod for pod in pods if server.replicas == 1 and pod in _pods(server)}  # nobody needs a route to itself
    yield from (f"no route to {pod}" for pod in sorted(pods - reached - alone))


def _pods(server: Server) -> list[str]:
    """The names of a workload's pods, with their Service; those of other kinds than StatefulSet have none."""
    if server.workload.get("kind") != "StatefulSet":
        spec = objects.pod_spec(server.workload)
        named = [spec["hostname"], spec["subdomain"]] if spec.get("hostname") and spec.get("subdomain") else []
        return [".".join(named) or f"the pods of {objects.label(server.workload)}"]
    service = dig(server.workload, "spec.serviceName", "")
    first = int(dig(server.workload, "spec.ordinals.start", 0) or 0)
    return [f"{server.name}-{first + number}.{service}" for number in range(server.replicas)]


def _led_to(manifests: Manifests, server: Server, host: str) -> set[str] | str:
    """The pods of a server's group that a route's host leads to, or what is wrong with it."""
    mates = manifests.mates(server)
    for mate in mates:
        for pod in _pods(mate):
            if host == pod or host.startswith(f"{pod}."):
                return {pod}
        governing = str(dig(mate.workload, "spec.serviceName", ""))
        if governing and (host == governing or host.startswith(f"{governing}.")):
            return {pod for each in mates for pod in _pods(each)}  # the servers tell each other of the rest
    service = manifests.get("Service", host.partition(".")[0])
    selected = manifests.pods_of(dig(service or {}, "spec.selector"))
    behind = [mate for mate in mates if mate.workload in selected]
    if behind and dig(service or {}, "spec.clusterIP") != "None" and sum(mate.replicas for mate in behind) > 1:
        return (
            f"the route to {host} goes to a Service with an address of its own, which leads to any one of the pods, "
            "also to the server itself: make it headless (clusterIP: None)"
        )
    if behind:
        return {pod for mate in behind for pod in _pods(mate)}
    if server.streaming.get("partitioning"):
        return set()  # the servers of another group may serve the other channels
    if re.match(rf"{re.escape(server.name)}-(\d+)\.", host) and server.workload.get("kind") == "StatefulSet":
        return f"the route to {host} leads to a replica that does not exist ({server.replicas} replicas)"
    return f"the route to {host} leads to no replica of {server.name}"


@invariant(
    "routes-qualified",
    meshed,
    "Write routes with namespace and svc: <pod>.<service>.<namespace>.svc.<cluster domain>.",
    Severity.WARNING,
)
def routes_qualified(_: Manifests, server: Server) -> Iterator[str]:
    """Routes are full names: a short one walks the search domains, and a slow resolver then delays the mesh."""
    short = [host for host, _port in _routes(server)[0] if ".svc" not in host and host.startswith(f"{server.name}-")]
    if short:
        yield f"short route names: {', '.join(short)}"


@invariant("routes-on-cluster-port", meshed, "Use the port of the cluster block in every route.")
def routes_on_cluster_port(_: Manifests, server: Server) -> Iterator[str]:
    """Routes lead to the port that the servers listen on for routes, on an address that others reach."""
    listening = server.port("cluster")
    if (host := server.nats.get("cluster.host")) in ("localhost", "127.0.0.1", "::1"):
        yield f"the cluster block listens on {host} alone"
    for host, port in _routes(server)[0]:
        if port != listening:
            yield f"the route to {host} goes to port {port}, the cluster block listens on {listening}"


@invariant(
    "advertised-name",
    meshed,
    "Advertise <pod>.<service>.<namespace>.svc through an environment variable that the container sets.",
    Severity.WARNING,
)
def advertised_name(_: Manifests, server: Server) -> Iterator[str]:
    """The name that a server advertises to the others is one that it knows: every variable in it is set."""
    known = objects.env(server.container)
    told = f"{server.nats.get('cluster.cluster_advertise', '')} {server.nats.get('client_advertise', '')}"
    for name in re.findall(r"Variable\(name='(\w+)'\)|\$(\w+)", told):
        variable = "".join(name)
        if variable not in known:
            yield f"${variable} is not set in the container"
        else:
            for inner in re.findall(r"\$\((\w+)\)", str(known[variable])):
                if inner not in known:
                    yield f"${variable} refers to $({inner}), which is not set"


@invariant(
    "governing-service", stateful, "Add a headless Service (clusterIP: None) of that name that selects the pods."
)
def governing_service(manifests: Manifests, server: Server) -> Iterator[str | Unseen]:
    """The StatefulSet's serviceName is a headless Service that selects its pods: without it pods have no names."""
    name = str(dig(server.workload, "spec.serviceName", ""))
    service = manifests.get("Service", name)
    if service is None:
        yield Unseen(f"the Service {name} is not among these objects") if name else "the StatefulSet has no serviceName"
        return
    if dig(service, "spec.clusterIP") != "None":
        yield f"the Service {name} is not headless"
    if server.workload not in manifests.pods_of(dig(service, "spec.selector")):
        yield f"the Service {name} does not select the pods"


@invariant("standbys-resolvable", routing, "Set publishNotReadyAddresses: true on the governing Service.")
def standbys_resolvable(manifests: Manifests, server: Server) -> Iterator[str]:
    """A pod's name resolves before the pod is Ready: routes are needed at the start, not after it."""
    service = manifests.get("Service", str(dig(server.workload, "spec.serviceName", "")))
    if service is not None and not dig(service, "spec.publishNotReadyAddresses"):
        yield f"the Service {objects.name(service)} hides pods that are not Ready"


@invariant(
    "governing-ports",
    stateful,
    "Name the client, cluster and monitor ports on the governing Service.",
    Severity.WARNING,
)
def governing_ports(manifests: Manifests, server: Server) -> Iterator[str]:
    """The governing Service lists every port that the server listens on."""
    service = manifests.get("Service", str(dig(server.workload, "spec.serviceName", "")))
    if service is None or not server.known:
        return
    listed = set(objects.ports(service).values())
    for purpose in _PURPOSES if server.embedded else ("monitor",):
        port = server.port(purpose)
        if port is not None and port not in listed and (purpose != "cluster" or server.clustered):
            yield f"the Service {objects.name(service)} does not list the {purpose} port {port}"


_LISTENS = re.compile(r"--?[\w-]*(?:listen|port|addr|bind)\w*[= ](?:\S*:)?(\d+)(?!\S)")


@invariant("ports-declared", readable, "Declare every port that the configuration opens, and no other.")
def ports_declared(_: Manifests, server: Server) -> Iterator[str]:
    """The container declares exactly the ports that its configuration opens."""
    declared = objects.ports(server.container)
    opened = {purpose: server.port(purpose) for purpose in _PURPOSES if server.embedded or purpose == "monitor"}
    for purpose, port in opened.items():
        if port is not None and port not in declared.values() and (purpose != "cluster" or server.clustered):
            yield f"the {purpose} port {port} is not declared"
    words = " ".join(map(str, [*(server.container.get("command") or []), *(server.container.get("args") or [])]))
    besides = {int(port) for port in _LISTENS.findall(words)}  # what starts the server may listen too: a supervisor
    for name, port in declared.items():
        if port not in opened.values() and port not in besides:
            known = f"{port}" if name == str(port) else f"{name} ({port})"
            yield f"port {known} is declared, but nothing in the configuration opens it"


@invariant("service-targets", services, "Let targetPort name a port that the selected containers declare.")
def service_targets(manifests: Manifests, service: Object) -> Iterator[str]:
    """Every Service selects pods, and each of its ports leads to a port that they declare."""
    selected = manifests.pods_of(dig(service, "spec.selector"))
    if not selected:
        yield f"selects no pods of these objects: {dig(service, 'spec.selector')}"
    for workload in selected:
        declared: dict[str, int] = {}
        for each in objects.containers(workload):
            declared |= objects.ports(each)
        for port in dig(service, "spec.ports", []):
            target, name = port.get("targetPort", port["port"]), port.get("name", port["port"])
            if target not in declared and target not in declared.values():
                yield f"port {name} leads to {target}, {objects.label(workload)} declares {declared}"
            elif port.get("name") in declared and declared.get(target, target) != declared[port["name"]]:
                yield f"port {name} leads to {target}, but the pods' {name} port is {declared[name]}"


@invariant(
    "no-port-twice",
    lambda manifests: manifests.workloads,
    "Declare each port, and each port name, in one container only.",
)
def no_port_twice(_: Manifests, workload: Object) -> Iterator[str]:
    """No two containers of a pod declare the same port or the same port name."""
    seen: dict[str, str] = {}
    for each in objects.containers(workload, init=False):
        for name, port in objects.ports(each).items():
            for key in dict.fromkeys((str(port), name)):
                if seen.setdefault(key, each["name"]) != each["name"]:
                    yield f"port {key} is declared by {seen[key]} and by {each['name']}"


@invariant("monitor-private", services, "Leave the monitoring port to the headless Service.", Severity.WARNING)
def monitor_private(manifests: Manifests, service: Object) -> Iterator[str]:
    """The monitoring port, which anybody may read, is on no Service that clients use."""
    if dig(service, "spec.clusterIP") == "None":
        return
    for server in manifests.servers:
        if server.workload in manifests.pods_of(dig(service, "spec.selector")):
            for port in dig(service, "spec.ports", []):
                if port.get("targetPort", port["port"]) in ("monitor", server.port("monitor")):
                    yield f"port {port.get('name', port['port'])} publishes the monitoring port"


@invariant("client-service-routes", services, "Leave the cluster port to the headless Service.", Severity.WARNING)
def client_service_routes(manifests: Manifests, service: Object) -> Iterator[str]:
    """The routing port is on no Service that clients use."""
    if dig(service, "spec.clusterIP") == "None":
        return
    for server in manifests.servers:
        if server.workload in manifests.pods_of(dig(service, "spec.selector")):
            for port in dig(service, "spec.ports", []):
                if port.get("targetPort", port["port"]) in ("cluster", server.port("cluster")):
                    yield f"port {port.get('name', port['port'])} publishes the routing port"


@invariant(
    "policy-lets-peers-in", lambda manifests: manifests.of("NetworkPolicy"), "Allow the client and the cluster port."
)
def policy_lets_peers_in(manifests: Manifests, policy: Object) -> Iterator[str]:
    """A NetworkPolicy over the servers lets clients and routes in: the FT heartbeat travels over the routes."""
    if "Ingress" not in dig(policy, "spec.policyTypes", ["Ingress"]):
        return
    for server in manifests.servers:
        if server.workload not in manifests.pods_of(dig(policy, "spec.podSelector")):
            continue
        if not (server.known and server.embedded):
            continue
        rules = dig(policy, "spec.ingress", [])
        allowed = {port.get("port") for rule in rules for port in rule.get("ports") or []}
        if any(not rule.get("ports") for rule in rules):
            continue
        for purpose in ("client", "cluster"):
            number = server.port(purpose)
            if number is not None and not {purpose, number} & allowed and (purpose != "cluster" or server.clustered):
                yield f"the {purpose} port {number} of {server.name} is closed"


@invariant(
    "exporter-scrapes-monitor",
    lambda manifests: manifests.exporters,
    "Give the exporter the URL of the server's monitoring port.",
)
def exporter_scrapes_monitor(manifests: Manifests, exporter: Container) -> Iterator[str]:
    """The exporter asks the monitoring port that the server beside it listens on."""
    for server in manifests.servers:
        if server.workload is not exporter.workload or not server.known:
            continue
        asked = [urlsplit(word).port for word in exporter.arguments if word.startswith("http")]
        if asked != [server.port("monitor")]:
            yield f"it asks port {asked}, the server's monitoring port is {server.port('monitor')}"


@invariant(
    "monitors-reach-targets", monitors, "Select the labels of the Service or of the pods, and name one of their ports."
)
def monitors_reach_targets(manifests: Manifests, monitor: Object) -> Iterator[str]:
    """A ServiceMonitor or PodMonitor selects what exists, and scrapes a port that it has."""
    selector = dig(monitor, "spec.selector")
    endpoints = dig(monitor, "spec.endpoints", dig(monitor, "spec.podMetricsEndpoints", []))
    if monitor.get("kind") == "ServiceMonitor":
        targets = [
            each for each in manifests.of("Service") if objects.selects(selector, dig(each, "metadata.labels", {}))
        ]
        names = {name for each in targets for name in objects.ports(each)}
        if (
            len(targets) > 1
            and len([each for each in targets if {e.get("port") for e in endpoints} & set(objects.ports(each))]) > 1
        ):
            yield "selects the same pods through two Services: every sample arrives twice"
    else:
        targets = manifests.pods_of(selector)
        names = {name for each in targets for one in objects.containers(each) for name in objects.ports(one)}
    if not targets:
        yield f"selects nothing: {selector}"
    for endpoint in endpoints:
        if targets and endpoint.get("port") not in names:
            yield f"scrapes port {endpoint.get('port')}, there is {sorted(names)}"
    if dig(monitor, "spec.namespaceSelector.any"):
        yield "looks into every namespace"


@invariant(
    "network-policy", lambda manifests: manifests.servers, "Add a NetworkPolicy for the servers.", Severity.ADVICE
)
def network_policy(manifests: Manifests, server: Server) -> Iterator[str]:
    """A NetworkPolicy says who may reach the servers."""
    policies = manifests.of("NetworkPolicy")
    if not any(server.workload in manifests.pods_of(dig(each, "spec.podSelector")) for each in policies):
        yield "no NetworkPolicy selects these pods"


def _routes(server: Server) -> tuple[list[tuple[str, int | None]], list[str]]:
    """Host and port of each route, and the names of variables whose routes cannot be seen."""
    listed = server.nats.get("routes", [])
    found: list[tuple[str, int | None]] = []
    hidden: list[str] = []
    for route in listed if isinstance(listed, list) else [listed]:
        if isinstance(route, Variable) or "$" in str(route).rpartition("@")[2]:
            hidden.append(f"${route.name}" if isinstance(route, Variable) else str(route))
        elif url.problem(str(route)) is None:
            part = urlsplit(str(route))
            found.append((str(part.hostname or ""), part.port))
    return found, hidden
