"""Helm releases on a cluster, by pyhelm3: installed or upgraded when chart or values changed, else left alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyhelm3  # type: ignore[import-untyped]

from harness.charts import helm
from harness.ground import content
from harness.ground.paths import CHARTS
from stanft.ground.errors import UserError


def ensure(
    release: str,
    chart: str,
    values: Mapping[str, Any],
    *,
    kubeconfig: Path,
    namespace: str = "default",
    timeout: str = "5m",
    wait: bool = False,
    take_ownership: bool = False,
) -> bool:
    """Make the release what chart and values say; returns whether anything had to be done.

    A release that an interrupted run left pending is rolled back or removed first. timeout is helm's duration text.
    Raises UserError with helm's words if helm refuses.
    """
    content_key = f"content {content.digest(CHARTS / chart, repr(sorted_deep(values)))}"
    client = helm.client(kubeconfig=kubeconfig, timeout=timeout)

    async def work() -> bool:
        current = await client.get_proceedable_revision(release, namespace=namespace)
        if current is not None:
            newest = (await client._command.history(release, max_revisions=1, namespace=namespace))[0]
            if (newest["status"], newest["description"]) == ("deployed", content_key):
                return False
        await client.install_or_upgrade_release(
            release,
            await client.get_chart(str(CHARTS / chart)),
            dict(values),
            namespace=namespace,
            description=content_key,
            wait=wait,
            take_ownership=take_ownership,
        )
        return True

    try:
        return bool(helm.run(work()))
    except pyhelm3.errors.Error as error:
        raise UserError(f"helm could not install {chart} as {release}:\n{_words(error)}") from error


def _words(error: Any) -> str:
    text = error.stderr.decode(errors="replace") if isinstance(error.stderr, bytes) else error.stderr
    return str(text or error).strip()


def uninstall(release: str, *, kubeconfig: Path, namespace: str = "default", timeout: str = "2m") -> None:
    """Remove a release and wait until its objects are gone; does nothing where there is none."""
    client = helm.client(kubeconfig=kubeconfig, timeout=timeout)
    helm.run(client.uninstall_release(release, namespace=namespace, wait=True))


def sorted_deep(value: Any) -> Any:
    """The value with every mapping in key order, so that equal values have equal texts."""
    if isinstance(value, Mapping):
        return {key: sorted_deep(value[key]) for key in sorted(value)}
    return [sorted_deep(item) for item in value] if isinstance(value, list) else value
