"""The Job of stan-ft exit: a manifest that Kubernetes takes, restricted, and a command that the tool itself takes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from stanft.cli import exit as command
from stanft.cli import main
from stanft.exit import plan as planning
from stanft.exit.plan import Plan, StreamPlan
from stanft.ground.errors import UserError
from stanft.invariants.security import restricted_violations
from stanft.kube import kubeschema, objects

PLACES = ["--servers", "nats://stan:4222", "--monitor", "http://stan-0.stan:8222", "--target", "nats://nats:4222"]
PACKAGE = ["--package", "stan-ft==0.1.0"]


@pytest.fixture
def plan(tmp_path: Path) -> str:
    """A plan of two channels."""
    file = tmp_path / "plan.yaml"
    file.write_text(planning.as_yaml(Plan("test-cluster", (StreamPlan("orders", "orders"), StreamPlan("b", "b")))))
    return str(file)


def made(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The text, the ConfigMap and the Job."""
    assert main.main(["exit", "job", *words]) == 0
    text = capsys.readouterr().out
    assert not re.search(r"[&*]id0", text)
    config, job = yaml.safe_load_all(text)
    return text, config, job


@pytest.mark.parametrize("what", [["copy"], ["copy", "--follow", "--rate", "500"], ["verify"]], ids=" ".join)
@pytest.mark.parametrize("how", [PACKAGE, ["--image", "registry.example/stan-ft:1"]], ids=["package", "image"])
def test_kubernetes_takes_it_with_the_least_rights_and_the_tool_its_command(
    what: list[str], how: list[str], plan: str, capsys: pytest.CaptureFixture[str]
) -> None:
    login = ["--secret", "login", "--user", "app", "--target-creds", "here/app.creds", "--target-ca", "ca.crt"]
    _, config, job = made(capsys, what[0], plan, *what[1:], *PLACES, *how, *login, "-n", "messaging")
    for version in (kubeschema.OLDEST, kubeschema.USUAL):
        assert [kubeschema.problems(item, version) for item in (config, job)] == [[], []]
    assert list(restricted_violations(job)) == []
    spec = objects.pod_spec(job)
    assert spec["automountServiceAccountToken"] is False
    container = objects.container(job, "exit")
    python, module, name, *arguments = container["command"]
    assert (python, module, name, arguments[0]) == ("python", "-m", "stanft.cli.main", "exit")
    options = command.parser().parse_args(arguments[1:])
    assert (options.step, options.servers, options.target_creds) == (
        what[0],
        ["nats://stan:4222"],
        Path("/login/app.creds"),
    )
    assert objects.mounts(container)["login"]["mountPath"] == "/login"
    assert str(options.plan).startswith(objects.mounts(container)["plan"]["mountPath"])
    assert planning.read(Path(plan)).streams[0].channel in config["data"]["plan.yaml"]


def test_passwords_come_from_the_secret_and_none_is_written(
    plan: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAN_FT_SOURCE_PASSWORD", "very-secret")
    text, _, job = made(capsys, "copy", plan, *PLACES, *PACKAGE, "--user", "app", "--secret", "login")
    assert "very-secret" not in text
    (variable,) = [each for each in objects.container(job, "exit")["env"] if each["name"] == "STAN_FT_SOURCE_PASSWORD"]
    assert variable["valueFrom"]["secretKeyRef"] == {"name": "login", "key": "source-password", "optional": False}


def test_a_copy_is_tried_again_and_a_comparison_is_not(plan: str, capsys: pytest.CaptureFixture[str]) -> None:
    copying = made(capsys, "copy", plan, *PLACES, *PACKAGE)[2]["spec"]
    comparing = made(capsys, "verify", plan, *PLACES, *PACKAGE)[2]["spec"]
    assert (copying["backoffLimit"] > 0, copying["template"]["spec"]["restartPolicy"]) == (True, "OnFailure")
    assert (comparing["backoffLimit"], comparing["template"]["spec"]["restartPolicy"]) == (0, "Never")


def test_only_the_channels_that_are_named_are_in_it(plan: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, config, _ = made(capsys, "copy", plan, *PLACES, *PACKAGE, "--channel", "b")
    assert [one["channel"] for one in yaml.safe_load(config["data"]["plan.yaml"])["channels"]] == ["b"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["copy", *PLACES], "Give --package .* or --image"),
        (["copy", *PLACES, *PACKAGE, "--image", "x"], "Give --package .* or --image"),
        (["copy", *PLACES, *PACKAGE, "--user", "app"], "name it with --secret"),
        (["copy", *PLACES, *PACKAGE, "--nkey", "seed"], "name it with --secret"),
        (["copy", *PLACES[4:], *PACKAGE], "Give --servers and --monitor"),
        (["copy", *PLACES, *PACKAGE, "--store", "x"], "not --store"),
        (["verify", *PLACES, *PACKAGE, "--follow"], "go with copy"),
        (["copy", *PLACES, *PACKAGE, "--name", "No_Name"], "Kubernetes would refuse the ConfigMap"),
    ],
)
def test_what_cannot_become_a_job_is_told(words: list[str], said: str, plan: str) -> None:
    with pytest.raises(UserError, match=said):
        main.main(["exit", "job", words[0], plan, *words[1:]])
