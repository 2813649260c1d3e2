"""A Job that copies or compares inside the cluster, for groups that are reached only there: its manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from stanft.ground.errors import UserError

IMAGE = "python:3.13-slim"
USER = 65532  # any that is not root: the image has no user of its own
PLAN, LOGIN, TOOL = "/plan", "/login", "/tool"  # where the pod finds the plan, the Secret's files, the installed tool
LARGEST = 1_000_000  # bytes of a plan; a ConfigMap holds 1 MiB
TRIES = {"copy": 50, "verify": 0}  # a copy goes on where it was; what verify found stays so
HEAD = """\
# stan-ft exit {step}, to be run once in the cluster. Everything that it holds is in this file{secret}.
#   start:  kubectl apply -f THIS-FILE
#   watch:  kubectl logs --follow job/{name}{inside}
#   end:    {end}
#   again:  kubectl delete job/{name}{inside}, then apply it anew
# The pod fetches the tool from a package index or the address given; without a way out, give an --image that has it.
"""


@dataclass(frozen=True)
class Job:
    """What the Job is made of; arguments are those of stan-ft exit, environment is variable -> key of the Secret.

    package is what pip installs before, "" for an image that has stan-ft.
    """

    name: str
    namespace: str
    step: str
    plan: str
    arguments: Sequence[str]
    environment: dict[str, str]
    secret: str
    image: str
    package: str


def inside(file: Path) -> str:
    """Where the pod finds a file of the login, which is a key of the Secret."""
    return f"{LOGIN}/{file.name}"


def manifest(job: Job) -> str:
    """The YAML. Raises UserError when the plan is too large."""
    if len(job.plan.encode()) > LARGEST:
        raise UserError(f"the plan has {len(job.plan)} bytes, a ConfigMap takes {LARGEST}: split it by channels.")
    where = f" --namespace {job.namespace}" if job.namespace else ""
    head = HEAD.format(
        step=job.step,
        name=job.name,
        inside=where,
        secret=f", but the Secret {job.secret}, which you make" if job.secret else "",
        end="it follows until you delete it"
        if "--follow" in job.arguments
        else f"kubectl wait --for=condition=Complete --timeout=24h job/{job.name}{where}",
    )
    return head + yaml.dump_all(objects(job), Dumper=_Written, sort_keys=False, allow_unicode=True)


class _Written(yaml.SafeDumper):
    """YAML as a person writes it: what is there twice is written twice."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


def objects(job: Job) -> list[dict[str, Any]]:
    """The ConfigMap with the plan, and the Job."""
    labels = {"app.kubernetes.io/name": "stan-ft-exit", "app.kubernetes.io/instance": job.name}
    metadata = {"name": job.name, **({"namespace": job.namespace} if job.namespace else {}), "labels": labels}
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"plan.yaml": job.plan}},
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": metadata,
            "spec": {
                "backoffLimit": TRIES[job.step],
                "template": {"metadata": {"labels": labels}, "spec": _pod(job)},
            },
        },
    ]


def _pod(job: Job) -> dict[str, Any]:
    volumes: list[dict[str, Any]] = [
        {"name": "plan", "configMap": {"name": job.name}},
        {"name": "tool", "emptyDir": {"sizeLimit": "512Mi"}},
        {"name": "tmp", "emptyDir": {"sizeLimit": "512Mi"}},
    ]
    mounts = [
        {"name": "plan", "mountPath": PLAN, "readOnly": True},
        {"name": "tool", "mountPath": TOOL},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - in the pod
    ]
    if job.secret:
        volumes.append({"name": "login", "secret": {"secretName": job.secret, "defaultMode": 0o440}})
        mounts.append({"name": "login", "mountPath": LOGIN, "readOnly": True})
    install = {
        "name": "install",
        "command": ["pip", "install", "--no-cache-dir", "--disable-pip-version-check", "--target", TOOL, job.package],
        "env": [{"name": "HOME", "value": "/tmp"}],  # noqa: S108
    }
    variables = [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": job.secret, "key": key, "optional": "token" in key}}}
        for name, key in job.environment.items()
    ]
    run = {
        "name": "exit",
        "command": ["python", "-m", "stanft.cli.main", "exit", job.step, f"{PLAN}/plan.yaml", *job.arguments],
        "env": [*([{"name": "PYTHONPATH", "value": TOOL}] if job.package else []), *variables],
    }
    common = {
        "image": job.image,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "resources": {"requests": {"cpu": "500m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
        "volumeMounts": mounts,
    }
    return {
        "restartPolicy": "OnFailure" if TRIES[job.step] else "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        **({"initContainers": [{**install, **common}]} if job.package else {}),
        "containers": [{**run, **common}],
        "volumes": volumes,
    }
