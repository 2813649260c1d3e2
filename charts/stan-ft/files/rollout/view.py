"""The StatefulSet and its pods as the API gives them, down to what the rule needs."""

from __future__ import annotations

from typing import Any

from .api import Api, RefusedError
from .ends import StopError
from .rule import Pod
from .settings import Settings

_UNDER_WAY = ("ContainerCreating", "PodInitializing")


def statefulset(api: Api, settings: Settings) -> dict[str, Any]:
    """The StatefulSet; raises StopError if there is none, RefusedError, AwayError."""
    try:
        found: dict[str, Any] = api.call(
            "GET", f"/apis/apps/v1/namespaces/{settings.namespace}/statefulsets/{settings.statefulset}"
        )
    except RefusedError as error:
        if error.status != 404:
            raise
        raise StopError(f"StatefulSet {settings.statefulset} is not in namespace {settings.namespace}") from error
    return found


def manifests(api: Api, settings: Settings, replicas: int) -> list[dict[str, Any]]:
    """The pods that are there, by their names, which is all that the Job may; raises RefusedError, AwayError."""
    found = []
    for ordinal in range(replicas):
        try:
            found.append(api.call("GET", f"{path(settings)}/{settings.statefulset}-{ordinal}"))
        except RefusedError as error:
            if error.status != 404:
                raise
    return found


def path(settings: Settings) -> str:
    """Where the pods are."""
    return f"/api/v1/namespaces/{settings.namespace}/pods"


def pod(manifest: dict[str, Any], settings: Settings, *, old: bool) -> Pod:
    """A pod's manifest as the rule sees it; old: it is to be restarted."""
    metadata, status = manifest["metadata"], manifest.get("status") or {}
    conditions = {each["type"]: each["status"] for each in status.get("conditions") or []}
    own: dict[str, Any] = next(
        (each for each in status.get("containerStatuses") or [] if each["name"] == settings.container), {}
    )
    reasons = [
        (each.get("state") or {}).get("waiting", {}).get("reason", "")
        for each in [own, *(status.get("initContainerStatuses") or [])]
    ]
    troubles = [reason for reason in reasons if reason and reason not in _UNDER_WAY]
    if conditions.get("PodScheduled") == "False":
        troubles.append("no node takes it")
    return Pod(
        name=metadata["name"],
        uid=metadata["uid"],
        old=old,
        leaving="deletionTimestamp" in metadata,
        trouble=troubles[-1] if troubles else "",
        ready=conditions.get("Ready") == "True",
        running="running" in (own.get("state") or {}),
        address=status.get("podIP") or "",
        port=_port(manifest, settings),
    )


def _port(manifest: dict[str, Any], settings: Settings) -> int:
    """Each pod's own, for the change may give the servers another one."""
    for container in manifest["spec"]["containers"]:
        if container["name"] == settings.container:
            for port in container.get("ports") or []:
                if port.get("name") == "monitor":
                    return int(port["containerPort"])
    return settings.monitor_port
