"""Active-last upgrades, as rendered: the strategy, the hook Job and what it may do."""

from __future__ import annotations

import re
from typing import Any

import pytest

from harness.charts.render import RenderError, render
from harness.ground.paths import CHARTS
from stanft.kube.objects import Object, container, dig, env, find, find_all, mounts, pod_spec, pod_template, selects

HOOKS = ("ServiceAccount", "Role", "RoleBinding", "ConfigMap", "Job")


def hooks(values: dict[str, Any] | None = None) -> list[Object]:
    return [each for each in render("stan-ft", values) if each["metadata"]["name"] == "stan-rollout"]


def strategy(values: dict[str, Any]) -> Any:
    return find(render("stan-ft", values), "StatefulSet")["spec"]["updateStrategy"]


def test_kubernetes_restarts_nothing_by_itself_by_default() -> None:
    assert strategy({}) == {"type": "OnDelete"}


def test_the_plain_rolling_update_can_be_chosen_with_its_partition() -> None:
    wanted = {
        "rollout": {"strategy": "RollingUpdate"},
        "statefulSet": {"merge": {"spec": {"updateStrategy": {"rollingUpdate": {"partition": 1}}}}},
    }
    assert strategy(wanted) == {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}


@pytest.mark.parametrize("name", ["RollingUpdate", "OnDelete"])
def test_there_is_no_job_when_it_is_not_asked_for(name: str) -> None:
    assert hooks({"rollout": {"strategy": name}}) == []


def test_the_job_and_its_rights_exist_only_around_an_upgrade() -> None:
    found = hooks()
    assert sorted(each["kind"] for each in found) == sorted(HOOKS)
    for each in found:
        annotations = each["metadata"]["annotations"]
        assert {"post-upgrade", "post-rollback"} <= set(annotations["helm.sh/hook"].split(","))
        assert annotations["helm.sh/hook-delete-policy"] == "before-hook-creation,hook-succeeded"


def test_the_job_comes_after_everything_that_it_needs() -> None:
    weight = {each["kind"]: int(each["metadata"]["annotations"]["helm.sh/hook-weight"]) for each in hooks()}
    assert weight["Job"] > weight["RoleBinding"] > max(weight[kind] for kind in ("ServiceAccount", "Role", "ConfigMap"))


@pytest.mark.parametrize("wanted", [True, False])
def test_the_job_runs_after_an_installation_only_if_asked_for(wanted: bool) -> None:
    for each in hooks({"rollout": {"onInstall": wanted}}):
        assert ("post-install" in each["metadata"]["annotations"]["helm.sh/hook"]) is wanted


def test_the_role_reaches_this_statefulset_and_its_pods_by_name_and_nothing_else() -> None:
    rules = find(hooks({"replicas": 4}), "Role")["rules"]
    pods = [f"stan-{n}" for n in range(4)]
    assert rules == [
        {"apiGroups": ["apps"], "resources": ["statefulsets"], "resourceNames": ["stan"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["pods"], "resourceNames": pods, "verbs": ["get", "delete"]},
        {"apiGroups": [""], "resources": ["pods/eviction"], "resourceNames": pods, "verbs": ["create"]},
        {
            "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"],
            "resourceNames": ["stan-rollout"],
            "verbs": ["get", "update", "delete"],
        },
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
    ]


def test_the_account_is_mounted_where_the_restarts_are_made_and_not_where_the_new_image_runs() -> None:
    pod = pod_spec(find(hooks(), "Job"))
    assert pod["automountServiceAccountToken"] is False
    assert [each["name"] for each in pod["containers"] if "account" in mounts(each)] == ["rollout"]


def test_a_new_server_is_tried_as_the_servers_user_with_its_memory_and_the_store_for_reading_alone() -> None:
    values = {"container": {"resources": {"limits": {"memory": "3Gi"}}, "args": ["-D"]}}
    objects = render("stan-ft", values)
    job, servers = find(objects, "Job"), find(objects, "StatefulSet")
    trial = container(job, "trial")
    assert pod_spec(job)["securityContext"] == pod_spec(servers)["securityContext"]
    assert trial["resources"]["limits"] == container(servers, "stan")["resources"]["limits"]
    assert trial["image"] == container(servers, "stan")["image"]
    assert trial["args"][-2:] == ["--", "-D"]
    assert mounts(trial)["data"] == {"name": "data", "mountPath": "/store", "readOnly": True}
    assert "--store=/store/store" in trial["args"]
    assert {"-D", "--limit=120"} <= set(trial["args"])


def test_the_trial_mounts_what_the_servers_do_of_the_claim() -> None:
    found = mounts(container(find(hooks({"persistence": {"subPath": "a/b"}}), "Job"), "trial"))
    assert found["data"]["subPath"] == "a/b"


@pytest.mark.parametrize(
    "values",
    [
        {"auth": {"routes": {"existingSecret": "r"}, "mode": "password", "existingSecret": "c"}},
        {"config": {"streaming": {"nats_server_url": "nats://nats:4222"}}, "service": {"enabled": False}},
        {"tls": {"client": {"enabled": True, "existingSecret": "t"}}, "config": {"leafnodes": {"port": 7422}}},
    ],
    ids=["logins", "external", "tls"],
)
def test_the_trial_reaches_nobody_and_needs_no_login(values: dict[str, Any]) -> None:
    text = dig(pod_template(find(hooks(values), "Job")), "metadata.annotations")["stan-ft/stan.conf"]
    top = {line.split(":")[0].split(" ")[0] for line in text.splitlines() if line and line[0] not in " }"}
    assert top == {"host", "port", "streaming"}
    assert not re.search(r"^\s*(nats_server_url|username|password|token|credentials|secure|tls)\b", text, re.MULTILINE)
    assert 'ft_group_name: "trial"' in text
    assert 'dir: "/trial/copy"' in text


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"rollout": {"trial": False}}, "rollout.trial"),
        ({"store": {"type": "sql", "sql": {"existingSecret": "s"}}}, "a database"),
        ({"configFile": {"existingConfigMap": "own"}}, "configuration given as a file"),
        ({"fencing": {"mode": "off"}}, "fencing.mode off"),
        ({"persistence": {"volumePermissions": {"enabled": True}}}, "persistence.volumePermissions"),
    ],
)
def test_where_nothing_is_tried_the_job_says_why(values: dict[str, Any], why: str) -> None:
    found = hooks(values)
    job = find(found, "Job")
    assert [each["name"] for each in pod_spec(job)["containers"]] == ["rollout"]
    assert why in env(container(job, "rollout"))["UNTRIED"]
    assert "trial.py" not in find(found, "ConfigMap")["data"]


def test_the_jobs_pod_is_no_server_for_any_service_or_budget() -> None:
    everything = render("stan-ft")
    labels = dig(pod_template(find(everything, "Job")), "metadata.labels")
    for service in find_all(everything, "Service"):
        assert not selects({"matchLabels": service["spec"]["selector"]}, labels)
    assert not selects(find(everything, "PodDisruptionBudget")["spec"]["selector"], labels)


def test_the_job_passes_pod_security_restricted() -> None:
    job = find(hooks(), "Job")
    assert pod_spec(job)["securityContext"]["runAsNonRoot"] is True
    assert pod_spec(job)["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    context = container(job, "rollout")["securityContext"]
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert context["readOnlyRootFilesystem"] is True


def test_the_job_runs_the_program_that_the_tests_run() -> None:
    data = find(hooks({"rollout": {"trial": False}}), "ConfigMap")["data"]
    files = {file.name: file.read_text().strip() for file in (CHARTS / "stan-ft/files/rollout").glob("*.py")}
    assert {name: text.strip() for name, text in data.items()} == files


def test_the_program_is_a_package_below_the_directory_that_it_is_started_in() -> None:
    found = container(find(hooks(), "Job"), "rollout")
    assert found["command"] == ["python3", "-BEsSu", "-m", "rollout"]
    assert mounts(found)["scripts"]["mountPath"] == f"{found['workingDir']}/rollout"


@pytest.mark.parametrize("mode", ["require", "off"])
def test_the_job_runs_in_the_image_with_python_also_where_the_servers_do_not(mode: str) -> None:
    values = {"fencing": {"mode": mode, "image": {"registry": "mirror.example", "tag": "3.12-slim"}}}
    assert container(find(hooks(values), "Job"), "rollout")["image"] == "mirror.example/python:3.12-slim"


def test_the_image_that_the_job_had_before_is_refused_with_the_new_name() -> None:
    with pytest.raises(RenderError, match=r"rollout\.image.*fencing\.image"):
        render("stan-ft", {"rollout": {"image": {"tag": "1.33.4"}}})


def test_the_program_gets_the_names_ports_and_times_of_the_values() -> None:
    values = {"fullnameOverride": "mq", "config": {"http": 9222}, "rollout": {"timeoutSeconds": 99}, "replicas": 5}
    job = find(render("stan-ft", values, namespace="prod"), "Job")
    wanted = {"NAMESPACE": "prod", "STATEFULSET": "mq", "MONITOR_PORT": "9222", "ROUTES": "4", "TIMEOUT": "99"}
    assert wanted.items() <= env(container(job, "rollout")).items()


def test_no_routes_are_waited_for_where_nats_runs_elsewhere() -> None:
    values = {"config": {"streaming": {"nats_server_url": "nats://nats:4222"}}, "service": {"enabled": False}}
    assert env(container(find(hooks(values), "Job"), "rollout"))["ROUTES"] == "0"


def test_the_programs_own_verdict_fails_the_job_and_a_lost_node_does_not() -> None:
    spec = find(hooks(), "Job")["spec"]
    assert [rule["action"] for rule in spec["podFailurePolicy"]["rules"]] == ["FailJob", "Ignore"]
    assert spec["template"]["spec"]["restartPolicy"] == "Never"


def test_helm_shows_the_log_of_the_job() -> None:
    annotations = find(hooks(), "Job")["metadata"]["annotations"]
    assert annotations["helm.sh/hook-output-log-policy"] == "hook-succeeded,hook-failed"


def test_the_place_of_the_job_can_be_set() -> None:
    job = find(
        hooks(
            {
                "rollout": {
                    "merge": {
                        "spec": {
                            "template": {
                                "spec": {
                                    "nodeSelector": {"pool": "ops"},
                                    "tolerations": [{"key": "ops", "operator": "Exists"}],
                                },
                                "metadata": {"annotations": {"sidecar.istio.io/inject": "false"}},
                            }
                        }
                    },
                    "resources": {"limits": {"memory": "99Mi"}},
                }
            }
        ),
        "Job",
    )
    assert pod_spec(job)["nodeSelector"] == {"pool": "ops"}
    assert pod_spec(job)["tolerations"] == [{"key": "ops", "operator": "Exists"}]
    assert dig(pod_template(job), "metadata.annotations")["sidecar.istio.io/inject"] == "false"
    assert container(job, "rollout")["resources"]["limits"]["memory"] == "99Mi"


def test_a_wrong_strategy_is_refused_with_its_name() -> None:
    with pytest.raises(RenderError, match="/rollout/strategy"):
        render("stan-ft", {"rollout": {"strategy": "Recreate"}})


def test_the_trial_knows_what_the_limit_leaves_a_server_beside_the_supervisor() -> None:
    values = {"container": {"resources": {"limits": {"memory": "48Mi"}, "requests": None}}}
    assert "--memory=25165824" in container(find(hooks(values), "Job"), "trial")["args"]


def test_the_trial_of_a_server_without_a_limit_is_told_none() -> None:
    args = container(find(hooks({"container": {"resources": None}}), "Job"), "trial")["args"]
    assert not [each for each in args if each.startswith("--memory")]


def test_the_job_asks_for_no_more_memory_than_the_smallest_limit_that_is_taken() -> None:
    small = {"requests": {"memory": "16Mi"}, "limits": {"memory": "40Mi"}}
    job = find(hooks({"container": {"resources": small}}), "Job")
    all_of_it = [*pod_spec(job).get("initContainers", []), *pod_spec(job)["containers"]]
    limited = [each["resources"] for each in all_of_it if each["resources"]["limits"]["memory"] == "40Mi"]
    assert [each["requests"]["memory"] for each in limited] == ["16Mi"]
