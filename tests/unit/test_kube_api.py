"""The client of the Kubernetes API: whom it trusts."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import urllib3
import yaml
from certificates import Authority
from playcluster import PlayCluster
from urllib3.util.ssl_ import create_urllib3_context

from stanft.kube import api

PODS = "/api/v1/namespaces/default/pods"


def strict(*arguments: object, **options: object) -> ssl.SSLContext:
    """What urllib3 makes with Python 3.13."""
    context = create_urllib3_context(*arguments, **options)  # type: ignore[arg-type]
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


@pytest.fixture
def secured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The kubeconfig of a cluster whose certificate names no key of its authority, which asks for none to be named."""
    for module in (urllib3.connection, api):
        monkeypatch.setattr(module, "create_urllib3_context", strict)
    authority = Authority(tmp_path / "authority")
    authority.sign("api", "IP:127.0.0.1")
    folder = authority.folder
    with PlayCluster(tmp_path, certificate=(folder / "api.crt", folder / "api.key")) as cluster:
        found = yaml.safe_load(cluster.kubeconfig.read_text())
        found["clusters"][0]["cluster"] = {
            "server": f"https://127.0.0.1:{cluster.port}",
            "certificate-authority": str(folder / "authority.crt"),
        }
        cluster.kubeconfig.write_text(yaml.safe_dump(found))
        yield cluster.kubeconfig


def test_an_authority_that_names_no_keys_is_trusted_as_kubectl_trusts_it(secured: Path) -> None:
    """Such are those of older EKS clusters."""
    assert api.read(api.connect(secured), PODS)["items"]


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_an_unknown_authority_is_trusted_only_where_the_kubeconfig_asks_for_no_proof(
    secured: Path, tmp_path: Path
) -> None:
    found = yaml.safe_load(secured.read_text())
    cluster = found["clusters"][0]["cluster"]
    cluster["certificate-authority"] = str(Authority(tmp_path / "another").folder / "authority.crt")
    secured.write_text(yaml.safe_dump(found))
    with pytest.raises(api.AWAY, match="CERTIFICATE_VERIFY_FAILED"):
        api.call(api.connect(secured, persistent=False), "GET", PODS, timeout=5.0)
    del cluster["certificate-authority"]
    cluster["insecure-skip-tls-verify"] = True
    secured.write_text(yaml.safe_dump(found))
    assert api.read(api.connect(secured), PODS)["items"]


def test_many_threads_may_connect_at_once(secured: Path) -> None:
    """With one context for all of them OpenSSL crashes, and this process with it."""
    access = api.connect(secured)

    def ask(_: int) -> int:
        access.rest_client.pool_manager.clear()
        return len(api.read(access, PODS)["items"])

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(ask, range(240))) == {3}
