"""Values as people write them for stan-ft: what each is refused with, warned of, or becomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.charts.render import RenderError, render, render_notes
from stanft import invariants
from stanft.invariants import Manifests, Severity
from stanft.kube import objects
from stanft.kube.objects import Object, dig

CASES = Path(__file__).parent.parent / "fixtures" / "case-values"

# Case -> what the refusal says: each begins with the value, and says what to write instead.
REFUSED: dict[str, list[str]] = {
    "efs-helper-options-on-nfs": [
        "  - persistence.staticVolume.nfs.mountOptions: tls: it is an option of the EFS mount helper",
        "mountOptions: iam: ",
        "::fsap-",
    ],
    "external-url-login": ["  - config.streaming.nats_server_url: the login in its URL", "a Secret in auth.server"],
    "external-url-bare": ["  - config.streaming.nats_server_url: nats:4222 is no URL. Write nats://HOST:4222"],
    "memory-limit-above": ["  - container.env.GOMEMLIMIT: 1800MiB is above container.resources.limits.memory (256Mi)"],
    "official-values": [
        "  - stan.clusterID: it is a value of another chart",
        "What says the same here: config.streaming.id",
        "  - store.volume: ",
    ],
    "partition-embedded": ["  - config.streaming.partitioning: ", "config.cluster.routes", "nats_server_url"],
    "password-in-config": ["  - config.accounts.APP.users.password: it would be readable", "Put it into a Secret"],
    "password-in-override": ["  - configFile.override: a password", "include a file of a Secret"],
    "password-in-route": ["  - config.cluster.routes: the login in its URL", "a Secret in auth.server"],
    "static-nfs-options": ["mountOptions: nocto: ", "mountOptions: ro: ", "mountOptions: udp: ", "add nfsvers=4.1"],
}
# Case -> what the notes say of it.
NOTED: dict[str, tuple[str, ...]] = {
    "memory-limit": ("without a limit, each channel in use may take two write buffers", "(256Mi) is enough for 4"),
    "old-image-tag": ("image.tag: server 0.22.1 has no /healthz, so the probes ask its root page",),
    "outside-clients": ("service.type: with LoadBalancer", "config.client_advertise", "config.cluster.no_advertise"),
}
TAKEN = (
    *("accounts", "external-nats", "mesh-test-pods", "notes-no-limit", "openshift", "override-json"),
    *("override-one-line", *NOTED),
)


def values(case: str) -> dict[str, Any]:
    """The values of a case."""
    return objects.values((CASES / f"{case}.yaml").read_text())


def server(case: str) -> Object:
    """The server's container of a case's StatefulSet."""
    return objects.container(objects.find(render("stan-ft", values(case)), "StatefulSet"), "stan")


def pods(case: str) -> list[Object]:
    """The pods that end: those of helm test, and those of the Job."""
    items = render("stan-ft", values(case))
    return [*objects.find_all(items, "Pod"), *(dig(each, "spec.template") for each in objects.find_all(items, "Job"))]


def test_every_case_is_judged() -> None:
    assert {each.stem for each in CASES.iterdir()} == {*REFUSED, *TAKEN}


@pytest.mark.parametrize("case", REFUSED)
def test_a_case_that_cannot_work_is_refused_with_the_remedy(case: str) -> None:
    with pytest.raises(RenderError) as caught:
        render("stan-ft", values(case))
    assert all(words in caught.value.message for words in REFUSED[case]), caught.value.message


@pytest.mark.parametrize("case", TAKEN)
def test_a_case_that_works_is_made_and_passes_the_check(case: str) -> None:
    items = render("stan-ft", values(case))
    found = invariants.findings(invariants.check(items, namespace="default"))
    # OpenShift gives the pods of a namespace one user; the manifests do not say it.
    told = [each.problem for each in found if each.severity is Severity.ERROR and not each.unseen]
    assert [each for each in told if not (case == "openshift" and each.startswith("no runAsUser"))] == []
    assert len(Manifests(items).servers) == 1


@pytest.mark.parametrize("case", NOTED)
def test_what_a_case_risks_is_told_in_the_notes(case: str) -> None:
    notes = render_notes("stan-ft", values(case))
    assert all(words in notes for words in NOTED[case])


def test_the_notes_speak_of_no_limit_that_is_none() -> None:
    assert "dropped without a word" not in render_notes("stan-ft", values("notes-no-limit"))


@pytest.mark.parametrize("case", ["external-nats", "old-image-tag"])
def test_no_probe_asks_what_the_server_does_not_answer(case: str) -> None:
    probes = [server(case)[kind]["httpGet"]["path"] for kind in ("startupProbe", "livenessProbe", "readinessProbe")]
    assert probes == ["/", "/", "/"]


def test_go_collects_before_the_memory_limit() -> None:
    limit = int(objects.env(server("memory-limit"))["GOMEMLIMIT"].removesuffix("MiB"))
    assert 0.75 * 256 < limit < 0.95 * 256


def test_the_file_of_accounts_is_included_from_where_the_server_looks() -> None:
    (found,) = Manifests(render("stan-ft", values("accounts"))).servers
    assert "/etc/accounts/accounts.conf" in found.included
    assert found.streaming["username"] == "$(STAN_LOGIN_USERNAME_RAW)"  # the server's own login, from the Secret


def test_pods_that_end_have_no_sidecar() -> None:
    annotations = [dig(pod, "metadata.annotations", {}) for pod in pods("mesh-test-pods")]
    assert len(annotations) >= 3
    assert all(each.get("sidecar.istio.io/inject") == "false" for each in annotations)


def test_no_pod_names_a_user_where_openshift_does() -> None:
    items = render("stan-ft", values("openshift"))
    specs = [objects.pod_spec(each) for each in objects.workloads(items)]
    contexts = [spec.get("securityContext") or {} for spec in specs]
    contexts += [each.get("securityContext") or {} for spec in specs for each in spec["containers"]]
    assert len(specs) >= 4
    assert not [each for each in contexts if {"runAsUser", "runAsGroup", "fsGroup"} & each.keys()]
