"""What NetworkPolicies allow, by Kubernetes' rules for them, over objects as data: policies add up, none allows all."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stanft.kube.objects import Object, selects


@dataclass(frozen=True)
class End:
    """One end of a connection: a pod by its labels, or without labels something outside, such as a node."""

    labels: Mapping[str, str] = field(default_factory=dict)
    namespace: str = "default"
    namespace_labels: Mapping[str, str] = field(default_factory=dict)
    address: str = "10.244.1.7"


def allowed(policies: Sequence[Object], source: End, target: End, port: int, protocol: str = "TCP") -> bool:
    """Whether a connection is let out of its source and into its target; ports are numbers, as the chart has them."""
    out = _open(policies, "Egress", source, target, (port, protocol))
    return out and _open(policies, "Ingress", target, source, (port, protocol))


def _open(policies: Sequence[Object], way: str, own: End, other: End, port: tuple[int, str]) -> bool:
    if not own.labels:
        return True  # no pod, no policy
    applying = [each for each in policies if _applies(each, way, own)]
    rules = [rule for each in applying for rule in each["spec"].get(way.lower()) or []]
    peers = "from" if way == "Ingress" else "to"
    return not applying or any(_lets(rule, peers, other, port, own.namespace) for rule in rules)


def _applies(policy: Object, way: str, pod: End) -> bool:
    spec = policy["spec"]
    default = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
    mine = policy["metadata"].get("namespace", "default") == pod.namespace and _selected(
        spec["podSelector"], pod.labels
    )
    return mine and way in spec.get("policyTypes", default)


def _lets(rule: Mapping[str, Any], peers: str, other: End, port: tuple[int, str], namespace: str) -> bool:
    ports, ends = rule.get("ports") or [], rule.get(peers) or []
    on = not ports or any((each["port"], each.get("protocol", "TCP")) == port for each in ports)
    return on and (not ends or any(_is(peer, other, namespace) for peer in ends))


def _is(peer: Mapping[str, Any], end: End, namespace: str) -> bool:
    if block := peer.get("ipBlock"):
        inside = [ipaddress.ip_network(text) for text in (block["cidr"], *block.get("except", []))]
        address = ipaddress.ip_address(end.address)
        return address in inside[0] and not any(address in each for each in inside[1:])
    if not end.labels:
        return False
    if "namespaceSelector" in peer:
        here = _selected(peer["namespaceSelector"], end.namespace_labels)
    else:
        here = end.namespace == namespace
    return here and _selected(peer.get("podSelector", {}), end.labels)


def _selected(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    return not selector or selects(selector, labels)  # here an empty selector selects everything
