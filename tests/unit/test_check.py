"""stan-ft check: where objects come from, how findings are told, and the exit codes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest
from commands import exit_code
from goodgroup import GOOD
from playapi import PlayApi

from stanft import invariants
from stanft.cli import check
from stanft.ground.errors import UserError
from stanft.invariants import show, sources

FIXTURES = Path(__file__).parent.parent / "fixtures"
RECIPE = str(FIXTURES / "recipe" / "original")
OFFICIAL = str(FIXTURES / "official-stan-chart")
SCOPE = show.Scope(objects=5, servers=1)
CLASS = "{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: c}, provisioner: p, reclaimPolicy: %s}\n"


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of stan-ft check."""
    code = exit_code(check.main, *arguments)
    told = capsys.readouterr()
    return code, told.out, told.err


def test_the_recipe_is_judged_violated_with_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, RECIPE, "--namespace", "messaging")
    assert code == 1
    assert "error     standbys-resolvable\n            StatefulSet/stan: the Service stan hides pods" in out
    assert "remedy: Set publishNotReadyAddresses: true" in out
    assert out.endswith("Verdict: violated.\n")


def test_the_table_counts_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, RECIPE, "--namespace", "messaging")
    total = len(invariants.invariants())
    assert f"{total} invariants over 12 objects: " in out


def test_a_good_group_passes_with_exit_code_0(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    code, out, _ = run(capsys, str(tmp_path), "-n", "messaging")
    assert (code, out.splitlines()[-1]) == (0, "Verdict: passed.")


@pytest.mark.parametrize("format_", ["table", "json", "junit", "sarif"])
def test_where_no_server_is_found_nothing_passes(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, format_: str
) -> None:
    (tmp_path / "class.yaml").write_text(CLASS % "Retain")
    code, out, err = run(capsys, str(tmp_path), "--format", format_)
    assert code == 2
    assert err.startswith("error: no NATS Streaming server among these objects")
    assert {"table": "not passed: no NATS", "json": '"no server"', "junit": "<error", "sarif": "runs"}[format_] in out


def test_a_part_of_a_whole_may_hold_no_server(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "class.yaml").write_text(CLASS % "Retain")
    assert run(capsys, str(tmp_path), "--part")[0] == 0


def test_warnings_fail_the_check_only_when_it_is_strict(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(GOOD.replace("reclaimPolicy: Retain", "reclaimPolicy: Delete"))
    assert run(capsys, str(tmp_path), "-n", "messaging")[0] == 0
    assert run(capsys, str(tmp_path), "-n", "messaging", "--strict")[0] == 1


def test_json_holds_every_invariant_and_its_findings(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, OFFICIAL, "--format", "json")
    data = json.loads(out)
    assert (data["verdict"], data["objects"]) == ("violated", 5)
    by_name = {each["name"]: each for each in data["invariants"]}
    assert len(by_name) == len(invariants.invariants())
    assert by_name["read-write-many"]["findings"][0]["where"] == "StatefulSet/my-stan"
    assert by_name["ft-group"]["state"] == "holds"


def test_junit_fails_on_errors_and_skips_with_the_reason(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    target = tmp_path / "check.xml"
    assert run(capsys, OFFICIAL, "--format", "junit", "--output", str(target)) == (1, "", "")
    suite = ElementTree.parse(target).getroot()
    cases = {case.get("name"): case for case in suite.iter("testcase")}
    failure = cases["liveness"].find("failure")
    assert failure is not None and failure.text is not None  # noqa: PT018
    assert "no livenessProbe" in failure.text
    assert cases["disruption-budget"].find("failure") is None  # a warning
    skipped = cases["small-roles"].find("skipped")
    assert skipped is not None
    assert skipped.get("message") == "nothing among the objects that it is about"
    assert int(suite.get("failures", "0")) == len(list(suite.iter("failure")))
    assert int(suite.get("skipped", "0")) == len(list(suite.iter("skipped")))


def test_strict_junit_fails_on_warnings_too(capsys: pytest.CaptureFixture[str]) -> None:
    _, loose, _ = run(capsys, OFFICIAL, "--format", "junit")
    _, strict, _ = run(capsys, OFFICIAL, "--format", "junit", "--strict")
    assert strict.count("<failure") > loose.count("<failure")


def test_one_invariant_can_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, RECIPE, "--only", "shared-claim")
    assert (code, out) == (
        0,
        "1 invariants over 12 objects: 1 hold (0 errors, 0 warnings, 0 advice).\nVerdict: passed.\n",
    )


def test_list_names_every_invariant(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--list")
    assert code == 0
    assert [line.split()[1] for line in out.splitlines()] == [each.name for each in invariants.invariants()]


def test_a_chart_is_rendered_with_the_values_given(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    values.write_text("networkPolicy: {enabled: true}\n")
    _, out, _ = run(capsys, "charts/stan-ft", "--values", str(values), "--only", "network-policy")
    assert "1 hold" in out
    _, out, _ = run(capsys, "charts/stan-ft", "--set", "networkPolicy.enabled=false", "--only", "network-policy")
    assert "1 violated" in out


def test_both_charts_of_an_environment_are_judged_together(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(
        capsys, "charts/stan-ft", "charts/efs-provisioner", "-e", "eks-csi", "-n", "messaging", "--strict"
    )
    assert code == 0, out
    assert "not seen" not in out


def test_a_directory_of_charts_and_manifests_is_searched(tmp_path: Path) -> None:
    (tmp_path / "loose.yml").write_text(CLASS % "Retain")
    chart = tmp_path / "chart"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("{apiVersion: v2, name: chart, version: 0.1.0}\n")
    (chart / "templates" / "a.yaml").write_text(
        "{apiVersion: v1, kind: Secret, metadata: {name: {{ .Release.Name }}}}\n"
    )
    found = {(each["kind"], each["metadata"]["name"]) for each in sources.from_paths([str(tmp_path)])}
    assert found == {("Secret", "chart"), ("StorageClass", "c")}


def test_standard_input_is_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    source = tmp_path / "in.yaml"
    source.write_text(CLASS % "Retain")
    with source.open() as handle:
        monkeypatch.setattr("sys.stdin", handle)
        assert run(capsys, "-", "--part")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "nothing to check: name manifests or charts"),
        (["no-such-place"], "no-such-place does not exist"),
        (["{tmp}/empty"], "no Kubernetes objects in"),
        (["{tmp}/bad.yaml"], "bad.yaml cannot be read as Kubernetes objects"),
        (["{tmp}/plain.yaml"], "no Kubernetes object (it needs apiVersion and kind)"),
        ([RECIPE, "--only", "no-such-rule"], "there is no invariant no-such-rule: stan-ft check --list"),
        ([RECIPE, "--kube-version", "1.12"], "Kubernetes 1.12 is not known here"),
        (["charts/stan-ft", "--values", "{tmp}/none.yaml"], "none.yaml cannot be read"),
        (["charts/stan-ft", "-e", "mars"], "there is no environment 'mars'"),
        ([RECIPE, "-e", "kind"], "--environment is for charts"),
        (["charts/stan-ft", "--set", "replicas=0"], "replicas"),
        (["--context", "no-such-context"], "no usable kubeconfig"),
        ([RECIPE, "--context", "c", "-n", "x"], "give either paths or a cluster"),
    ],
)
def test_what_cannot_be_checked_is_told_in_one_line_with_exit_code_2(
    arguments: Sequence[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.yaml").write_text("a: [")
    (tmp_path / "plain.yaml").write_text("a: 1")
    code, out, err = run(capsys, *(each.replace("{tmp}", str(tmp_path)) for each in arguments))
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert told in err


def test_help_explains_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        check.main(["--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    for action in check.parser()._actions:
        assert action.help
        assert all(option in told for option in action.option_strings)


@pytest.fixture
def live(tmp_path: Path) -> Iterator[PlayApi]:
    """A namespace that runs the recipe."""
    items = sources.from_paths([str(FIXTURES / "recipe" / "runnable")])
    for each in items:
        each["metadata"]["namespace"] = "messaging"
        for subject in each.get("subjects", []):
            subject["namespace"] = "messaging"
    items.append(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "stan-0", "ownerReferences": [{"kind": "x"}]}}
    )
    items.append({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "other"}})
    with PlayApi(tmp_path, items, "messaging") as cluster:
        yield cluster


def test_a_live_namespace_is_judged_like_its_manifests(live: PlayApi, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--kubeconfig", str(live.kubeconfig), "--context", "play", "--format", "json")
    assert code == 1
    states = {each["name"]: each["state"] for each in json.loads(out)["invariants"]}
    assert states["standbys-resolvable"] == "violated"
    assert states["ft-group"] == "holds"


def test_the_namespace_of_the_context_is_the_default_as_it_is_for_kubectl(
    live: PlayApi, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, "--kubeconfig", str(live.kubeconfig))
    assert "/apis/apps/v1/namespaces/messaging/statefulsets" in live.asked


def test_what_the_cluster_says_of_an_object_is_not_judged(live: PlayApi) -> None:
    for each in live.items:
        each["status"] = {"conditions": [{"lastProbeTime": None}]}
    items = sources.from_namespace("messaging", kubeconfig=live.kubeconfig)
    assert items
    assert not any("status" in each for each in items)
    assert all({"apiVersion", "kind"} <= each.keys() for each in items)


def test_pods_of_workloads_and_classes_of_others_are_left_out(live: PlayApi) -> None:
    items = sources.from_namespace("messaging", kubeconfig=live.kubeconfig)
    found = {(each["kind"], each["metadata"]["name"]) for each in items}
    assert ("Pod", "stan-0") not in found
    assert ("StorageClass", "other") not in found
    assert {
        ("StatefulSet", "stan"),
        ("PersistentVolumeClaim", "efs"),
        ("ClusterRole", "efs-provisioner-runner"),
    } <= found


def test_a_missing_namespace_is_told(live: PlayApi) -> None:
    with pytest.raises(UserError, match="there is no namespace other: name another one"):
        sources.from_namespace("other", kubeconfig=live.kubeconfig)


def test_a_right_that_this_user_lacks_is_named(live: PlayApi) -> None:
    live.forbidden = "roles"
    with pytest.raises(UserError, match="may not read .*/messaging/roles: roles is forbidden"):
        sources.from_namespace("messaging", kubeconfig=live.kubeconfig)


def test_findings_keep_their_order_in_every_format() -> None:
    outcomes = invariants.check(sources.from_paths([OFFICIAL]))
    for make in show.FORMATS.values():
        assert make(outcomes, SCOPE, False) == make(outcomes, SCOPE, False)
