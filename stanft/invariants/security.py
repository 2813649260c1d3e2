"""Invariants on rights: one user for all replicas, restricted pods, secrets by reference, small roles."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from stanft.conf import edit, keys, url
from stanft.invariants.config import readable
from stanft.invariants.model import Manifests, Severity, Unseen, invariant
from stanft.invariants.servers import Container, Server
from stanft.kube import objects
from stanft.kube.objects import Object, dig

# Pod Security Standards, profile restricted (kubernetes.io/docs/concepts/security/pod-security-standards).
_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
# Text that is made of other variables only, in quotes or not.
_REFERENCES = re.compile(r"[\"']|\$\(\w+\)")
_SECRET_OPTIONS = ("pass", "auth", "encryption_key", "sql_source")
_SECRET_NAME = re.compile(r"(PASSWORD|PASSWD|TOKEN|SECRET|ENCRYPTION_KEY|DSN)$", re.IGNORECASE)


def workloads(manifests: Manifests) -> list[Object]:
    """Everything that runs pods."""
    return manifests.workloads


def containers(manifests: Manifests) -> list[Container]:
    """Every container."""
    return manifests.containers


def bindings(manifests: Manifests) -> list[Object]:
    """Role bindings of both kinds."""
    return manifests.of("RoleBinding", "ClusterRoleBinding")


@invariant(
    "one-user",
    lambda manifests: manifests.servers,
    "Set runAsUser to one number other than 0 in the pod's securityContext.",
)
def one_user(manifests: Manifests, server: Server) -> Iterator[str]:
    """All replicas write the store as the same fixed user: another one cannot open the lock file after a takeover."""
    user = _effective(server.workload, server.container, "runAsUser")
    if user is None:
        yield "no runAsUser: the image decides, and another image may decide otherwise"
    for other in manifests.servers:
        theirs = _effective(other.workload, other.container, "runAsUser")
        if other.group == server.group and theirs != user:
            yield f"runs as {user}, {other.name} of the same group as {theirs}"


@invariant(
    "restricted",
    workloads,
    "Satisfy the Pod Security Standard restricted: see kubernetes.io/docs/concepts/security/pod-security-standards.",
    Severity.WARNING,
)
def restricted(_: Manifests, workload: Object) -> Iterator[str]:
    """The pod passes the Pod Security Standard restricted."""
    yield from restricted_violations(workload)


@invariant(
    "read-only-root",
    containers,
    "Set readOnlyRootFilesystem: true in the container's securityContext.",
    Severity.WARNING,
)
def read_only_root(_: Manifests, container: Container) -> Iterator[str]:
    """The container cannot write to its own image."""
    if not dig(container.spec, "securityContext.readOnlyRootFilesystem"):
        yield "readOnlyRootFilesystem is not true"


@invariant(
    "no-token", lambda manifests: manifests.servers, "Set automountServiceAccountToken: false.", Severity.WARNING
)
def no_token(manifests: Manifests, server: Server) -> Iterator[str]:
    """The server gets no token for the Kubernetes API, which it never calls."""
    spec = objects.pod_spec(server.workload)
    account = manifests.get("ServiceAccount", str(spec.get("serviceAccountName", "default"))) or {}
    if spec.get("automountServiceAccountToken", account.get("automountServiceAccountToken", True)):
        yield "a token of the Kubernetes API is mounted"


@invariant(
    "secrets-by-reference",
    readable,
    "Keep it in a Secret: a mounted file or an environment variable with secretKeyRef.",
)
def secrets_by_reference(_: Manifests, server: Server) -> Iterator[str]:
    """No password, token or key is written out in a ConfigMap or among the arguments, nor inside of an address."""
    for path, text in server.open_texts:
        yield from (f"{said} ({path})" for said in _written_out(text))
    for option, value in server.told.flags.given.items():
        texts = str(value).split(",")
        if option in _SECRET_OPTIONS and value and "$" not in str(value):
            yield f"-{option} is written out among the arguments"
        elif any(url.credentials(each) and "$" not in each for each in texts):
            yield f"-{option} holds an address with a password"


@invariant("no-secret-in-env", containers, "Take the value from a Secret with valueFrom.secretKeyRef.")
def no_secret_in_env(_: Manifests, container: Container) -> Iterator[str]:
    """No environment variable that sounds like a secret has its value written out."""
    for name, value in objects.env(container.spec).items():
        if _SECRET_NAME.search(name) and isinstance(value, str) and _REFERENCES.sub("", value):
            yield f"{name} is written out"


@invariant(
    "reloader-can-signal",
    lambda manifests: [each for each in manifests.containers if "reloader" in each.image],
    "Set shareProcessNamespace: true on the pod.",
)
def reloader_can_signal(_: Manifests, container: Container) -> Iterator[str]:
    """A reloader sidecar shares the process namespace with the server that it signals."""
    if not objects.pod_spec(container.workload).get("shareProcessNamespace"):
        yield "the pod does not share its process namespace"


@invariant(
    "bindings-resolve",
    bindings,
    "Bind the ServiceAccount in the namespace that it is installed into, to a role that exists.",
)
def bindings_resolve(manifests: Manifests, binding: Object) -> Iterator[str | Unseen]:
    """A role binding names a role and a ServiceAccount that exist, in the namespace where they are installed."""
    role = dig(binding, "roleRef", {})
    if manifests.get(str(role.get("kind")), str(role.get("name"))) is None and not _built_in(str(role.get("name"))):
        yield Unseen(f"{role.get('kind')}/{role.get('name')} is not among these objects")
    for subject in binding.get("subjects") or []:
        if subject.get("kind") != "ServiceAccount":
            continue
        account = manifests.get("ServiceAccount", str(subject.get("name")))
        home = manifests.namespace_of(account) if account else manifests.namespace
        named = subject.get("namespace", manifests.namespace_of(binding))
        if account is None:
            yield Unseen(f"ServiceAccount/{subject.get('name')} is not among these objects")
        elif home is not None and named != home:
            yield f"names ServiceAccount {subject['name']} in namespace {named}, it is installed into {home}"


@invariant("accounts-exist", workloads, "Create the ServiceAccount, or name one that exists.")
def accounts_exist(manifests: Manifests, workload: Object) -> Iterator[str | Unseen]:
    """The ServiceAccount of a pod exists: without it no pod is created."""
    name = objects.pod_spec(workload).get("serviceAccountName")
    if name and name != "default" and manifests.get("ServiceAccount", name) is None:
        yield Unseen(f"ServiceAccount/{name} is not among these objects")


@invariant(
    "small-roles",
    lambda manifests: manifests.of("Role", "ClusterRole"),
    "Name verbs, resources, and the lock object (resourceNames).",
    Severity.WARNING,
)
def small_roles(_: Manifests, role: Object) -> Iterator[str]:
    """Roles name what they allow: no wildcards, and writing a lock means that one lock."""
    for rule in role.get("rules") or []:
        for key in ("verbs", "resources", "apiGroups"):
            if "*" in (rule.get(key) or []):
                yield f"{key} holds a wildcard"
        locks = {"endpoints", "leases"} & set(rule.get("resources") or [])
        writing = {"update", "patch"} & set(rule.get("verbs") or [])
        if locks and writing and not rule.get("resourceNames"):
            yield f"may {' and '.join(sorted(writing))} every object of {', '.join(sorted(locks))}, not only its lock"


def restricted_violations(workload: Object) -> Iterator[str]:
    """What the Pod Security Standard restricted refuses in a workload's pods, one sentence each."""
    spec = objects.pod_spec(workload)
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(key):
            yield f"{key} is set"
    for name, volume in objects.volumes(workload).items():
        for kind in volume.keys() - {"name"} - _VOLUMES:
            yield f"volume {name} is of kind {kind}"
    for each in objects.containers(workload):
        yield from _container_violations(workload, each)


def _container_violations(workload: Object, container: Object) -> Iterator[str]:
    name, context = container.get("name"), container.get("securityContext") or {}
    if context.get("privileged"):
        yield f"container {name} is privileged"
    if context.get("allowPrivilegeEscalation") is not False:
        yield f"container {name} does not forbid privilege escalation"
    capabilities = context.get("capabilities") or {}
    if "ALL" not in (capabilities.get("drop") or []):
        yield f"container {name} does not drop all capabilities"
    if set(capabilities.get("add") or []) - {"NET_BIND_SERVICE"}:
        yield f"container {name} adds capabilities {capabilities['add']}"
    if _effective(workload, container, "runAsNonRoot") is not True:
        yield f"container {name} may run as root (runAsNonRoot is not true)"
    if _effective(workload, container, "runAsUser") == 0:
        yield f"container {name} runs as user 0"
    if dig(_effective(workload, container, "seccompProfile") or {}, "type") not in ("RuntimeDefault", "Localhost"):
        yield f"container {name} has no seccomp profile"
    for port in container.get("ports") or []:
        if port.get("hostPort"):
            yield f"container {name} takes port {port['hostPort']} of the node"


def _effective(workload: Object, container: Object, key: str) -> Any:
    """A security setting of a container: its own, else the pod's."""
    own = container.get("securityContext") or {}
    return own[key] if key in own else (objects.pod_spec(workload).get("securityContext") or {}).get(key)


def _written_out(text: str) -> Iterator[str]:
    """The secrets in a configuration's text, one sentence each; a $NAME that the text itself defines is none.

    A $NAME in quotes is no variable: the server takes it as it stands.
    """
    settings = edit.settings(text)
    named = {setting.path[-1] for setting in settings if not setting.value.startswith("$")}
    for setting in settings:
        label = ".".join(setting.path)
        value = edit.unquoted(setting.value)
        if url.credentials(value):
            yield f"{label} holds an address with a password"
        if setting.path[-1].lower() not in keys.SECRETS or setting.value.startswith(("{", "[")):
            continue
        elsewhere = setting.value.startswith("$") and setting.value[1:] not in named
        if re.fullmatch(r"\$\w+", value) and value != setting.value:
            yield f"{label} is the text {setting.value}: the server replaces a $NAME only without quotes"
        elif not elsewhere and not value.startswith("$2a$"):
            yield f"{label} is written out"


def _built_in(name: str) -> bool:
    return name in ("cluster-admin", "admin", "edit", "view") or name.startswith("system:")
