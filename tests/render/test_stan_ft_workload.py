"""The StatefulSet of stan-ft: probes, life cycle, scheduling, images and the ways to extend a pod."""

from __future__ import annotations

from typing import Any

import pytest

from harness.charts.render import at, chart_values, layered, render
from stanft.kube import objects
from stanft.kube.objects import Object, dig, find

Values = dict[str, Any]
BARE: Values = {"fencing": {"mode": "off"}}
SELECTOR = {
    "app.kubernetes.io/name": "stan-ft",
    "app.kubernetes.io/instance": "stan",
    "app.kubernetes.io/component": "server",
}


def workload(values: Values | None = None, **options: Any) -> Object:
    return find(render("stan-ft", values, **options), "StatefulSet")


def pod(values: Values | None = None, **options: Any) -> Object:
    return objects.pod_spec(workload(values, **options))


def server(values: Values | None = None, **options: Any) -> Object:
    return objects.container(workload(values, **options), "stan")


# --- probes and life cycle ----------------------------------------------------------------------------------------


def test_a_hung_active_is_gone_within_five_seconds_of_silence() -> None:
    probe = server()["livenessProbe"]
    silence = probe["periodSeconds"] + probe["failureThreshold"] * max(probe["periodSeconds"], probe["timeoutSeconds"])
    takeover = 1.375  # seconds at most until a standby misses the heartbeat, nats-streaming-server server/ft.go
    assert silence + probe["terminationGracePeriodSeconds"] == 5
    assert silence + probe["terminationGracePeriodSeconds"] + takeover <= 8


def test_a_slow_answer_alone_ends_no_server() -> None:
    probe = server()["livenessProbe"]
    assert probe["failureThreshold"] >= 3


def test_startup_and_liveness_ask_what_answers_during_a_recovery() -> None:
    for kind in ("startupProbe", "livenessProbe"):
        assert server()[kind]["httpGet"] == {"path": "/healthz", "port": "monitor"}


def test_a_slow_mount_has_two_minutes_to_start() -> None:
    probe = server()["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 120


def test_standbys_are_ready_by_the_same_answer_as_the_active() -> None:
    assert server()["readinessProbe"]["httpGet"]["path"] == "/healthz"
    assert "isFTActive" not in str(workload())


def test_probes_can_be_set_and_switched_off() -> None:
    values = {"periodSeconds": 7, "timeoutSeconds": 4, "failureThreshold": 9, "httpGet": {"path": "/"}}
    for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
        probe = dict(server(at(f"container.{kind}", values))[kind])
        assert probe.pop("httpGet") == {"path": "/", "port": "monitor"}
        assert {key: probe[key] for key in values if key != "httpGet"} == {
            key: value for key, value in values.items() if key != "httpGet"
        }
        assert kind not in server(at(f"container.{kind}", None))


def test_servers_start_in_parallel_unless_told_otherwise() -> None:
    assert workload()["spec"]["podManagementPolicy"] == "Parallel"
    assert (
        workload({"statefulSet": {"podManagementPolicy": "OrderedReady"}})["spec"]["podManagementPolicy"]
        == "OrderedReady"
    )


def test_the_grace_period_and_the_rest_of_the_life_cycle_are_values() -> None:
    values = {
        "podTemplate": {"terminationGracePeriodSeconds": 90},
        "statefulSet": {"minReadySeconds": 9, "merge": {"spec": {"revisionHistoryLimit": 2}}},
    }
    spec = workload(values)["spec"]
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] == 90
    assert (spec["minReadySeconds"], spec["revisionHistoryLimit"]) == (9, 2)
    assert pod()["terminationGracePeriodSeconds"] == 30


def test_a_lifecycle_hook_reaches_the_server() -> None:
    hook = {"preStop": {"sleep": {"seconds": 3}}}
    assert server({"container": {"merge": {"lifecycle": hook}}})["lifecycle"] == hook


def test_batches_are_arguments_because_the_server_has_no_key_for_them() -> None:
    values = {"container": {"args": ["--io_batch_size=64", "--io_sleep_time=250", "-T=true"]}}
    assert server(values)["args"][-5:] == [
        "-sc",
        "/etc/stan-config/stan.conf",
        "--io_batch_size=64",
        "--io_sleep_time=250",
        "-T=true",
    ]


# --- scheduling ---------------------------------------------------------------------------------------------------


def test_no_two_servers_share_a_node() -> None:
    [term] = dig(pod(), "affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution")
    assert term == {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": SELECTOR}}


def test_the_soft_preset_prefers_and_none_says_nothing() -> None:
    [soft] = dig(
        pod(at("podTemplate.antiAffinity", {"preset": "soft", "topologyKey": "zone"})),
        "affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution",
    )
    assert soft["podAffinityTerm"]["topologyKey"] == "zone"
    assert "affinity" not in pod(at("podTemplate.antiAffinity.preset", "none"))


def test_own_affinity_joins_the_preset() -> None:
    node = {"preferredDuringSchedulingIgnoredDuringExecution": []}
    affinity = pod(at("podTemplate.affinity.nodeAffinity", node))["affinity"]
    assert affinity["nodeAffinity"] == node
    assert "podAntiAffinity" in affinity


def test_spread_constraints_get_the_selector_of_the_release() -> None:
    constraint = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
    own = {**constraint, "labelSelector": {"matchLabels": {"a": "b"}}}
    given, kept = pod({"podTemplate": {"topologySpreadConstraints": [constraint, own]}})["topologySpreadConstraints"]
    assert given == {**constraint, "labelSelector": {"matchLabels": SELECTOR}}
    assert kept["labelSelector"]["matchLabels"]["a"] == "b"


def test_a_lost_node_is_left_after_thirty_seconds() -> None:
    def seconds(values: Values) -> dict[str, int]:
        return {each["key"]: each.get("tolerationSeconds") for each in pod(values).get("tolerations", [])}

    lost = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
    assert seconds({}) == dict.fromkeys(lost, 30)
    assert seconds({"podTemplate": {"nodeLossTolerationSeconds": 0}}) == dict.fromkeys(lost, 0)
    assert seconds({"podTemplate": {"nodeLossTolerationSeconds": None}}) == {}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("nodeSelector", {"disk": "fast"}),
        ("priorityClassName", "high"),
        ("runtimeClassName", "gvisor"),
        ("schedulerName", "mine"),
        ("dnsPolicy", "None"),
        ("dnsConfig", {"options": [{"name": "ndots", "value": "1"}]}),
        ("hostAliases", [{"ip": "10.0.0.1", "hostnames": ["a"]}]),
        ("shareProcessNamespace", True),
    ],
)
def test_a_field_of_the_pod_is_there_when_set_and_only_then(key: str, value: Any) -> None:
    place = "podTemplate" if key in ("nodeSelector", "priorityClassName") else "podTemplate.merge.spec"
    assert pod(at(place, {key: value}))[key] == value
    assert key not in pod()


def test_own_tolerations_come_first() -> None:
    toleration = {"key": "dedicated", "operator": "Exists"}
    assert pod({"podTemplate": {"tolerations": [toleration]}})["tolerations"][0] == toleration


def test_a_budget_lets_drains_take_one_server_at_a_time() -> None:
    spec = find(render("stan-ft"), "PodDisruptionBudget")["spec"]
    assert spec["maxUnavailable"] == 1
    assert "minAvailable" not in spec
    assert spec["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
    assert spec["selector"]["matchLabels"] == workload()["spec"]["selector"]["matchLabels"]


def test_the_budget_takes_numbers_and_percentages_or_goes() -> None:
    budget = find(
        render("stan-ft", {"podDisruptionBudget": {"merge": {"spec": {"minAvailable": "50%"}}}}), "PodDisruptionBudget"
    )
    assert budget["spec"]["minAvailable"] == "50%"
    assert "maxUnavailable" not in budget["spec"]
    off = render("stan-ft", at("podDisruptionBudget.enabled", False))
    assert objects.find_all(off, "PodDisruptionBudget") == []


# --- images -------------------------------------------------------------------------------------------------------


def test_the_image_follows_the_version_of_the_chart() -> None:
    assert server(BARE)["image"] == "nats-streaming:0.25.6"


@pytest.mark.parametrize(
    ("values", "image"),
    [
        (at("image.tag", "0.25.6-alpine"), "nats-streaming:0.25.6-alpine"),
        (at("image", {"registry": "a.example", "repository": "b/c"}), "a.example/b/c:0.25.6"),
        (at("global.imageRegistry", "mirror.example"), "mirror.example/nats-streaming:0.25.6"),
        (
            layered(at("global.imageRegistry", "mirror.example"), at("image.registry", "a.example:5000")),
            "a.example:5000/nats-streaming:0.25.6",
        ),
        (at("image.digest", "sha256:" + "0" * 64), "nats-streaming@sha256:" + "0" * 64),
    ],
)
def test_an_image_is_found_by_registry_repository_tag_or_digest(values: Values, image: str) -> None:
    assert server(layered(values, BARE))["image"] == image


def test_the_global_registry_reaches_every_image() -> None:
    items = render("stan-ft", at("global.imageRegistry", "mirror.example"))
    images = [each["image"] for item in objects.workloads(items) for each in objects.containers(item)]
    assert len(images) > 3
    assert all(image.startswith("mirror.example/") for image in images)


def test_pull_secrets_come_from_both_places_once() -> None:
    values = layered(at("global.imagePullSecrets", ["a", "b"]), at("image.pullSecrets", ["b", "c"]))
    assert pod(values)["imagePullSecrets"] == [{"name": "a"}, {"name": "b"}, {"name": "c"}]
    assert "imagePullSecrets" not in pod()


# --- ways to extend -----------------------------------------------------------------------------------------------


def test_environment_variables_are_a_map_of_text_or_references() -> None:
    reference = {"valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}
    env = objects.env(server({"container": {"env": {"A": "{{ .Release.Name }}", "B": reference}}}))
    assert (env["A"], env["B"]) == ("stan", reference["valueFrom"])


def test_volumes_mounts_and_containers_are_added_through_templates() -> None:
    values: Values = {
        "podTemplate": {
            "extraVolumes": [{"name": "x", "emptyDir": {}}],
            "extraContainers": [{"name": "side", "image": "a:{{ .Chart.AppVersion }}"}],
            "extraInitContainers": [{"name": "first", "image": "b:1"}],
        },
        "container": {"extraVolumeMounts": [{"name": "x", "mountPath": "/{{ .Release.Name }}"}]},
    }
    item = workload(values)
    assert objects.volumes(item)["x"] == {"name": "x", "emptyDir": {}}
    assert objects.mounts(objects.container(item, "stan"))["x"]["mountPath"] == "/stan"
    assert objects.container(item, "side")["image"] == "a:0.25.6"
    assert [each["name"] for each in objects.pod_spec(item)["initContainers"]] == ["program", "first"]


def test_extra_objects_are_maps_or_text_through_templates() -> None:
    map_ = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-a"}}
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}-b\n"
    items = render("stan-ft", {"extraObjects": [map_, text]})
    assert {"stan-a", "stan-b"} <= {objects.name(item) for item in items}


def test_labels_and_annotations_reach_objects_and_pods_but_no_selector() -> None:
    values: Values = {
        "commonLabels": {"team": "a"},
        "commonAnnotations": {"owner": "b"},
        "podTemplate": {"labels": {"tier": "c"}, "annotations": {"g": "{{ .Release.Name }}"}},
        "statefulSet": {"merge": {"metadata": {"annotations": {"e": "f"}}}},
        "podDisruptionBudget": {"merge": {"metadata": {"annotations": {"g": "h"}}}},
        "networkPolicy": {"enabled": True, "merge": {"metadata": {"annotations": {"g": "h"}}}},
        "headlessService": {"merge": {"metadata": {"annotations": {"g": "h"}, "labels": {"i": "j"}}}},
        "service": {"merge": {"metadata": {"annotations": {"g": "h"}, "labels": {"i": "j"}}}},
        "serviceAccount": {"annotations": {"g": "h"}},
    }
    items = render("stan-ft", values)
    for item in items:
        assert item["metadata"]["labels"]["team"] == "a", objects.label(item)
        assert item["metadata"]["annotations"]["owner"] == "b", objects.label(item)
    own = {"ConfigMap", "PodDisruptionBudget", "NetworkPolicy", "Service", "ServiceAccount"}
    named = [item for item in items if item["kind"] in own and objects.name(item) in ("stan", "stan-client")]
    assert len(named) == 5
    assert all(item["metadata"]["annotations"]["g"] == "h" for item in named)
    item = find(items, "StatefulSet")
    template = objects.pod_template(item) or {}
    assert {"team", "tier"} <= set(template["metadata"]["labels"])
    assert template["metadata"]["annotations"]["g"] == "stan"
    assert item["metadata"]["annotations"]["e"] == "f"
    assert item["spec"]["selector"]["matchLabels"] == SELECTOR


def test_names_can_be_overridden() -> None:
    items = render("stan-ft", {"nameOverride": "queue", "fullnameOverride": "mq"})
    item = find(items, "StatefulSet")
    assert objects.name(item) == "mq"
    assert item["metadata"]["labels"]["app.kubernetes.io/name"] == "queue"
    assert {"mq", "mq-client"} == {objects.name(each) for each in objects.find_all(items, "Service")}


def test_no_version_is_in_a_pod_label_so_that_a_new_chart_alone_restarts_nothing() -> None:
    labels = (objects.pod_template(workload()) or {})["metadata"]["labels"]
    assert not {"helm.sh/chart", "app.kubernetes.io/version"} & set(labels)


def test_resources_are_requested_and_memory_is_limited_with_room_for_a_recovery() -> None:
    resources = server()["resources"]
    assert resources["requests"] == {"cpu": "100m", "memory": "256Mi"}
    assert resources["limits"] == {"memory": "2Gi"}
    assert "resources" not in server({"container": {"resources": None}})


@pytest.mark.parametrize(
    ("limit", "collected"),
    [("2Gi", "1802MiB"), ("256Mi", "208MiB"), ("64Mi", "32MiB"), ("1.5Gi", "1351MiB"), ("1G", "839MiB")],
)
def test_go_collects_before_the_memory_limit_is_reached(limit: str, collected: str) -> None:
    resources = {"limits": {"memory": limit}, "requests": {"memory": "64Mi"}}
    assert objects.env(server(at("container.resources", resources)))["GOMEMLIMIT"] == collected


def test_a_server_without_a_supervisor_has_the_limit_for_itself() -> None:
    limits = at("container.resources.limits.memory", "256Mi")
    assert objects.env(server(layered(limits, BARE)))["GOMEMLIMIT"] == "225MiB"


def test_go_is_told_nothing_without_a_limit_and_what_the_user_says_wins() -> None:
    assert "GOMEMLIMIT" not in objects.env(server(at("container.resources.limits", None)))
    assert objects.env(server(at("container.env.GOMEMLIMIT", "1GiB")))["GOMEMLIMIT"] == "1GiB"
    assert "GOMEMLIMIT" not in objects.env(server(at("container.env.GOMEMLIMIT", None)))


def test_the_server_is_told_its_name_and_address_as_in_the_recipe() -> None:
    env = objects.env(server())
    assert env["POD_NAME"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    assert env["POD_NAMESPACE"] == {"fieldRef": {"fieldPath": "metadata.namespace"}}
    assert env["CLUSTER_ADVERTISE"] == "$(POD_NAME).stan.$(POD_NAMESPACE).svc.cluster.local"


def test_there_is_never_a_claim_per_pod() -> None:
    assert "volumeClaimTemplates" not in workload()["spec"]
    assert "volumeClaimTemplates" not in chart_values("stan-ft")
