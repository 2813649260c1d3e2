"""Which objects there are: exactly these by default, and exactly one more or less per switch."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.charts import render
from stanft.kube import objects
from stanft.kube.objects import Object

Names = set[tuple[str, str]]

STAN: Names = {
    ("ConfigMap", "stan-fencing"),
    ("ConfigMap", "stan-rollout"),
    ("Job", "stan-rollout"),
    ("NetworkPolicy", "stan"),
    ("NetworkPolicy", "stan-hooks"),
    ("PodDisruptionBudget", "stan"),
    ("Role", "stan-rollout"),
    ("RoleBinding", "stan-rollout"),
    ("Service", "stan"),
    ("Service", "stan-client"),
    ("ServiceAccount", "stan"),
    ("ServiceAccount", "stan-rollout"),
    ("StatefulSet", "stan"),
}
STAN_TESTS: Names = {("ConfigMap", "stan-test"), ("Pod", "stan-test-message"), ("Pod", "stan-test-state")}
ROLLOUT: Names = {(kind, "stan-rollout") for kind in ("ConfigMap", "Job", "Role", "RoleBinding", "ServiceAccount")}
EFS: Names = {
    ("ClusterRole", "efs-provisioner-runner"),
    ("ClusterRoleBinding", "run-efs-provisioner"),
    ("ConfigMap", "efs-provisioner"),
    ("Deployment", "efs-provisioner"),
    ("PersistentVolume", "efs-provisioner-root-e5b8d33e"),
    ("PersistentVolumeClaim", "efs"),
    ("PersistentVolumeClaim", "efs-provisioner-root-e5b8d33e"),
    ("Role", "leader-locking-efs-provisioner"),
    ("RoleBinding", "leader-locking-efs-provisioner"),
    ("ServiceAccount", "efs-provisioner"),
    ("StorageClass", "aws-efs"),
}


def stan(**values: Any) -> Names:
    """The objects of stan-ft with some values."""
    return objects.inventory(render.render("stan-ft", values))


def test_stan_ft_makes_exactly_these_objects() -> None:
    assert stan() == STAN | STAN_TESTS


def test_efs_provisioner_makes_exactly_these_objects() -> None:
    assert (
        objects.inventory(render.render("efs-provisioner", render.environment("eks-legacy", "efs-provisioner"))) == EFS
    )


@pytest.mark.parametrize(
    ("values", "less"),
    [
        ({"service": {"enabled": False}}, {("Service", "stan-client"), ("Pod", "stan-test-message")}),
        ({"podDisruptionBudget": {"enabled": False}}, {("PodDisruptionBudget", "stan")}),
        ({"serviceAccount": {"create": False}}, {("ServiceAccount", "stan")}),
        ({"rollout": {"strategy": "RollingUpdate"}}, ROLLOUT),
        ({"rollout": {"strategy": "OnDelete"}}, ROLLOUT),
        ({"tests": {"enabled": False}}, STAN_TESTS),
        ({"networkPolicy": {"enabled": False}}, {("NetworkPolicy", "stan"), ("NetworkPolicy", "stan-hooks")}),
        ({"enabled": False}, STAN | STAN_TESTS),
    ],
)
def test_a_switch_takes_exactly_its_objects_away(values: dict[str, Any], less: Names) -> None:
    assert stan(**values) == (STAN | STAN_TESTS) - less


@pytest.mark.parametrize(
    ("values", "more"),
    [
        (
            {"tls": {"client": {"enabled": True}, "certManager": {"enabled": True, "issuerRef": {"name": "a"}}}},
            {("Certificate", "stan-tls")},
        ),
        ({"promExporter": {"serviceMonitor": {"enabled": True}}}, {("ServiceMonitor", "stan")}),
        ({"promExporter": {"podMonitor": {"enabled": True}}}, {("PodMonitor", "stan")}),
        ({"promExporter": {"prometheusRule": {"enabled": True}}}, {("PrometheusRule", "stan")}),
        ({"promExporter": {"dashboard": {"enabled": True}}}, {("ConfigMap", "stan-dashboard")}),
        ({"persistence": {"existingClaim": "", "claim": {"name": "own"}}}, {("PersistentVolumeClaim", "own")}),
    ],
)
def test_a_switch_adds_exactly_its_objects(values: dict[str, Any], more: Names) -> None:
    assert stan(**values) == STAN | STAN_TESTS | more


def test_a_claim_made_elsewhere_is_not_made_again() -> None:
    assert not objects.find_all(render.render("stan-ft"), "PersistentVolumeClaim")


CASES = [(chart, name) for chart in render.RELEASES for name in render.shipped(chart)]


def shipped(chart: str, case: str) -> list[Object]:
    """A shipped set of values, rendered."""
    return render.render(chart, render.shipped(chart)[case])


@pytest.mark.parametrize(("chart", "case"), CASES, ids=[f"{chart}-{case}" for chart, case in CASES])
def test_every_object_says_which_release_made_it(chart: str, case: str) -> None:
    own = json.dumps(render.shipped(chart)[case].get("extraObjects", []))  # some of them as text with templates
    for item in shipped(chart, case):
        if objects.name(item).rpartition("-")[2] not in own:
            labels = objects.dig(item, "metadata.labels", {})
            assert labels.get("app.kubernetes.io/instance") == render.RELEASES[chart], objects.label(item)
            if "helm.sh/hook" in objects.dig(item, "metadata.annotations", {}):
                continue  # made anew for each run: nobody asks which version of the chart it came from
            assert labels.get("app.kubernetes.io/managed-by") == "Helm", objects.label(item)
            assert labels.get("helm.sh/chart", "").startswith(f"{chart}-"), objects.label(item)


@pytest.mark.parametrize(("chart", "case"), CASES, ids=[f"{chart}-{case}" for chart, case in CASES])
def test_no_object_name_is_longer_than_kubernetes_allows(chart: str, case: str) -> None:
    values = {**render.shipped(chart)[case], "fullnameOverride": ""}
    for item in render.render(chart, values, release="r" * {"stan-ft": 40, "efs-provisioner": 29}[chart]):
        longest = 253 if item["kind"] == "PersistentVolume" else 63
        assert len(objects.name(item)) <= longest, objects.label(item)


@pytest.mark.parametrize("policy", ["Always", "Never"])
def test_the_server_is_pulled_as_its_value_says(policy: str) -> None:
    server = objects.find(render.render("stan-ft", {"image": {"pullPolicy": policy}}), "StatefulSet")
    [first] = objects.pod_spec(server)["initContainers"]
    assert first["imagePullPolicy"] == policy
    assert objects.container(server, "stan")["imagePullPolicy"] == "IfNotPresent"
    bare = {"image": {"pullPolicy": policy}, "fencing": {"mode": "off"}}
    assert (
        objects.container(objects.find(render.render("stan-ft", bare), "StatefulSet"), "stan")["imagePullPolicy"]
        == policy
    )


@pytest.mark.parametrize("taint", ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"])
def test_a_server_leaves_a_lost_node_after_its_toleration_ends(taint: str) -> None:
    tolerations = objects.pod_spec(objects.find(render.render("stan-ft"), "StatefulSet"))["tolerations"]
    (found,) = (each for each in tolerations if each["key"] == taint)
    seconds = render.chart_values("stan-ft")["podTemplate"]["nodeLossTolerationSeconds"]
    assert found == {"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds}


@pytest.mark.parametrize(
    ("case", "variables"),
    [
        ("efs-provisioner", {"AWS_REGION", "DNS_NAME", "FILE_SYSTEM_ID", "PROVISIONER_NAME"}),
        ("nfs-subdir", {"NFS_PATH", "NFS_SERVER", "PROVISIONER_NAME"}),
    ],
)
def test_a_provisioner_is_told_what_its_program_reads(case: str, variables: set[str]) -> None:
    controller = objects.find(shipped("efs-provisioner", f"ci/{case}"), "Deployment")
    told = {
        name: value for name, value in objects.env(objects.containers(controller)[0]).items() if isinstance(value, dict)
    }
    assert told.keys() == variables


def test_the_provisioners_own_volume_keeps_the_file_system() -> None:
    volume = objects.find(shipped("efs-provisioner", "environments/eks-legacy"), "PersistentVolume")
    assert volume["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
