"""What has to be true of an installed group before anybody relies on it; on any cluster, see docs/prove.md."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import yaml
from pytest_helm_charts.clusters import Cluster
from pytest_helm_charts.k8s.stateful_set import wait_for_stateful_sets_to_run

from harness.local.proof import prove
from stanft import drill, faults, invariants, report
from stanft.drill.reach import Reach
from stanft.drill.run import Settings
from stanft.faults import Scene
from stanft.ground import bounds, programs, shell
from stanft.group.live import Group
from stanft.invariants import Severity, sources
from stanft.kube import charts, objects

HELM_TEST = 300.0  # seconds for all tests of the chart


@pytest.fixture(autouse=True, scope="module")
def _running(kube_cluster: Cluster, extra: dict[str, str]) -> None:
    """Every pod is Ready; a group that is just being installed is waited for."""
    wait_for_stateful_sets_to_run(
        kube_cluster.kube_client, [extra["name"]], extra["namespace"], int(bounds.patient(bounds.WHOLE))
    )


def test_the_group_is_whole(group: Group) -> None:
    """One active, all others standing by, routes from each to each."""
    group.wait_whole()


def test_all_servers_mount_one_claim_that_every_node_may_write(group: Group) -> None:
    claims = {
        volume.persistent_volume_claim.claim_name
        for pod in group.pods()
        for volume in pod.spec.volumes or []
        if volume.persistent_volume_claim
    }
    assert len(claims) == 1, f"one shared claim is wanted, and the pods mount {claims or 'none'}"
    claim = group.core.read_namespaced_persistent_volume_claim(claims.pop(), group.namespace)
    assert claim.status.phase == "Bound"
    assert "ReadWriteMany" in claim.status.access_modes


def test_what_runs_violates_no_rule_of_fault_tolerance(group: Group, kubeconfig: Path) -> None:
    items = sources.from_namespace(group.namespace, kubeconfig=kubeconfig)
    outcomes = invariants.check(items, namespace=group.namespace, live=True)
    found = invariants.findings(outcomes, at_least=Severity.ERROR)
    assert [f"{each.invariant}: {each.where}: {each.problem}" for each in found] == []


def test_the_servers_that_run_are_those_of_the_chart_and_values_that_were_given(
    group: Group, chart_path: str, values_file_path: str, extra: dict[str, str]
) -> None:
    """With --chart-path (and --app-config-file-path): the same image and as many servers as it renders."""
    if not chart_path:
        pytest.skip("no --chart-path was given")
    values: dict[str, Any] = objects.values(Path(values_file_path).read_text()) if values_file_path else {}
    rendered = charts.render(Path(chart_path).resolve(), values, namespace=extra["namespace"])
    [wanted] = [each for each in objects.find_all(rendered, "StatefulSet") if objects.name(each) == extra["name"]]
    running = group.stateful_set().spec
    assert running.replicas == wanted["spec"]["replicas"]
    images = {each["name"]: each["image"] for each in objects.containers(wanted, init=False)}
    here = {each.name: each.image for each in running.template.spec.containers}
    assert {name: images.get(name) for name in here} == here


def test_a_message_goes_through_each_server(urls: list[str], extra: dict[str, str]) -> None:
    asyncio.run(prove(urls, extra["cluster_id"]))


def test_the_deletion_of_the_active_moves_it_once_in_time_and_loses_nothing(
    scene: Scene, way: Reach, extra: dict[str, str]
) -> None:
    found = drill.drill([(faults.find("delete"), 1)], scene, way, Settings(cluster_id=extra["cluster_id"]))
    assert report.failures(found, report.Bounds(most=float(extra["within"]))) == [], yaml.safe_dump(found)


def test_the_tests_of_the_chart_pass(kubeconfig: Path, extra: dict[str, str]) -> None:
    command = [programs.find("helm"), "test", extra["release"], "--namespace", extra["namespace"], "--logs"]
    done = shell.run([*command, "--kubeconfig", kubeconfig], timeout=bounds.patient(HELM_TEST), check=False)
    assert done.returncode == 0, done.stdout + done.stderr
