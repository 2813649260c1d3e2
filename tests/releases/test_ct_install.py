"""ct (chart-testing) installs both charts on the real cluster and upgrades them from the commit before.

ct takes every ci/*-values.yaml and asks no release to be ready, so most of them have nowhere to run: they name file
systems, databases and Secrets of somebody else. RUNS says which do run here, LEFT_OUT why the others do not; the
working copy that ct gets holds only the former, and `helm --wait` makes "installed" mean "ready".
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from harness.charts import render
from harness.cluster.kind import Cluster
from harness.ground import toolchain
from harness.ground.paths import REPO
from stanft.ground import shell

RUNS = {"stan-ft": ("default",), "efs-provisioner": ("existing-class",)}
LEFT_OUT = {
    "stan-ft": {
        "existing-config": "needs a NATS server with TLS and a token",
        "external-nats": "needs a NATS server and an EFS file system",
        "full": "needs a mirror of the images and cert-manager; test_stan_ft_secured has its logins and TLS",
        "minimal": "is the same workload as default with parts left out",
        "nfs": "needs an NFS server",
        "nkey": "needs a list of NKey users",
        "override": "is a configuration of somebody's own",
        "sql": "needs a database",
    },
    "efs-provisioner": {
        "default": "needs an EFS file system",
        "efs-csi": "needs the EFS CSI driver",
        "efs-provisioner": "needs an EFS file system",
        "existing-no-class": "needs a StorageClass made by somebody else",
        "existing-static": "names volumes of an EFS file system",
        "nfs-subdir-on-efs": "needs an EFS file system",
        "nfs-subdir": "needs an NFS server",
    },
}
# On top of the ci values: what the local cluster has no image for, and a claim that goes with the namespace.
HERE = {
    "stan-ft": {
        "promExporter.enabled": "false",
        "persistence.existingClaim": "",
        "persistence.claim.keep": "false",
    },
    "efs-provisioner": {"provisionerName": "synadia.com/aws-efs"},
}


@dataclass(frozen=True)
class Clone:
    """Two commits of a working copy: the charts as released before, and as they are now."""

    folder: Path
    cluster: Cluster
    namespace: str

    def ct(self, chart: str) -> str:
        """What `ct install --upgrade` prints; raises shell.CommandError with it if ct fails."""
        tools = [str(toolchain.ensure(tool).parent) for tool in ("helm", "kubectl", "ct")]
        sets = " ".join(shlex.quote(f"--set={key}={value}") for key, value in HERE[chart].items())
        command = [toolchain.ensure("ct"), "install", "--config", REPO / "ct.yaml"]
        command += ["--upgrade", "--skip-missing-values"]
        command += ["--charts", f"charts/{chart}", "--namespace", self.namespace, "--remote", "origin"]
        command += ["--helm-extra-args", "--timeout 120s", "--helm-extra-set-args", sets]
        env = {"KUBECONFIG": str(self.cluster.kubeconfig), "PATH": os.pathsep.join([*tools, os.environ["PATH"]])}
        done = shell.run(command, cwd=self.folder, env=env, timeout=400)
        return done.stdout + done.stderr


def _git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=ct", "-c", "user.email=ct@example.com", "-c", "init.defaultBranch=main"]
    return shell.output(["git", *identity, *arguments], cwd=folder)


def _place(charts: Path, folder: Path) -> None:
    """Put the charts into a working copy with the ci values that run here."""
    shutil.rmtree(folder / "charts", ignore_errors=True)
    shutil.copytree(charts, folder / "charts")
    for chart, names in RUNS.items():
        for file in (folder / "charts" / chart / "ci").glob("*-values.yaml"):
            if file.name.removesuffix("-values.yaml") not in names:
                file.unlink()


def _before(folder: Path) -> Path:
    """The charts without the last commit that changed them; with it, where history begins there."""
    commits = shell.output(["git", "log", "--format=%H", "-2", "--", "charts"], cwd=REPO).split()
    archive = folder / "before.tar"
    shell.run(["git", "archive", "-o", archive, commits[-1], "charts"], cwd=REPO)
    shell.run(["tar", "-xf", archive, "-C", folder])
    return folder / "charts"


@pytest.fixture
def clone(cluster: Cluster, tmp_path: Path) -> Iterator[Clone]:
    """A working copy whose origin/main has the charts of the commit before; the namespace goes with all in it."""
    folder, old = tmp_path / "clone", tmp_path / "old"
    folder.mkdir()
    old.mkdir()
    _git(folder, "init", "-q")
    _place(_before(old), folder)
    _git(folder, "add", "-A")
    _git(folder, "commit", "-q", "-m", "before")
    _git(folder, "remote", "add", "origin", str(folder))
    _git(folder, "fetch", "-q", "origin")
    _git(folder, "checkout", "-q", "-b", "change")
    _place(REPO / "charts", folder)
    _git(folder, "add", "-A")
    _git(folder, "commit", "-q", "--allow-empty", "-m", "now")
    namespace = f"ct-{secrets.token_hex(3)}"
    cluster.kubectl("create", "namespace", namespace)
    try:
        yield Clone(folder, cluster, namespace)
    finally:
        cluster.kubectl("delete", "namespace", namespace, "--timeout=120s", timeout=130, check=False)
        volumes = json.loads(cluster.kubectl("get", "pv", "-o", "json"))["items"]
        for volume in volumes:
            if volume["spec"].get("claimRef", {}).get("namespace") == namespace:
                cluster.kubectl("delete", "pv", volume["metadata"]["name"], "--ignore-not-found", "--wait=false")
        cluster.kubectl("delete", "storageclass", "aws-efs-ci", "--ignore-not-found")


@pytest.mark.parametrize("chart", RUNS)
def test_every_ci_file_runs_here_or_says_why_not(chart: str) -> None:
    assert set(RUNS[chart]) | LEFT_OUT[chart].keys() == render.ci_values(chart).keys()


@pytest.mark.parametrize("chart", ["efs-provisioner", "stan-ft"])
def test_ct_installs_the_chart_and_upgrades_it_from_the_commit_before(chart: str, clone: Clone) -> None:
    version = yaml.load((REPO / "charts" / chart / "Chart.yaml").read_text(), Loader=yaml.CSafeLoader)["version"]
    told = clone.ct(chart)
    print(told, *(f"left out: {name}: {why}" for name, why in LEFT_OUT[chart].items()), sep="\n")
    assert "All charts installed successfully" in told
    assert f'{chart} => (version: "{version}"' in told
    assert told.count("STATUS: deployed") >= 2, "the upgrade from the commit before was left out"
