"""Released tools: taken where their servers give exactly the pinned file, else built."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from harness.ground import downloads, toolchain

TOOL = "kind"
RELEASED = b"#!/bin/sh\necho released\n"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Path]:
    """A file server on loopback; gives the folder that it serves, its address is in the file "address"."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

    folder = tmp_path / "served"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as web:
        threading.Thread(target=web.serve_forever, args=(0.02,), daemon=True).start()
        (folder / "address").write_text(f"http://127.0.0.1:{web.server_port}")
        yield folder
        web.shutdown()


@pytest.fixture
def built(server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tools that were built so far; the server on loopback has kind as a program and helm in an archive."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        info = tarfile.TarInfo("linux-amd64/helm")
        info.size = len(RELEASED)
        tar.addfile(info, io.BytesIO(RELEASED))
    (server / "kind").write_bytes(RELEASED)
    (server / "helm.tar.gz").write_bytes(archive.getvalue())
    address = (server / "address").read_text()
    pins = {
        "kind": {"url": f"{address}/kind", "sha256": hashlib.sha256(RELEASED).hexdigest()},
        "helm": {
            "url": f"{address}/helm.tar.gz",
            "member": "linux-amd64/helm",
            "sha256": hashlib.sha256(archive.getvalue()).hexdigest(),
        },
        "kubectl": {"url": f"{address}/kubectl", "sha256": ""},
    }
    (tmp_path / "downloads.json").write_text(json.dumps(pins))
    made: list[str] = []

    def build(_: object, names: Sequence[str], directory: Path) -> None:
        made.extend(names)
        for name in names:
            (directory / name).write_text("built")

    monkeypatch.setattr(downloads, "FILE", tmp_path / "downloads.json")
    monkeypatch.setattr(toolchain, "_build", build)
    monkeypatch.setenv("STAN_FT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("STAN_FT_BUILD", "")
    monkeypatch.delenv(downloads.SWITCH, raising=False)
    return made


@pytest.mark.parametrize("tool", ["kind", "helm"])
def test_a_released_tool_is_taken_once_and_not_built(built: list[str], server: Path, tool: str) -> None:
    path = toolchain.ensure(tool)
    assert path.read_bytes() == RELEASED
    assert path.stat().st_mode & 0o111
    for file in server.iterdir():
        file.unlink()
    assert toolchain.ensure(tool) == path
    assert built == []


def test_another_file_than_the_pinned_one_is_never_used(
    built: list[str], server: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (server / "kind").write_bytes(RELEASED + b"more")
    assert toolchain.ensure(TOOL).read_text() == "built"
    assert built == ["kind"]
    assert "not the file that cluster/downloads.json pins" in capsys.readouterr().err


def test_what_cannot_be_had_is_built(built: list[str], server: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (server / "kind").unlink()
    toolchain.ensure(TOOL)
    assert built == ["kind"]
    assert "kind is built instead" in capsys.readouterr().err


def test_a_tool_without_a_checksum_is_built_and_nobody_is_asked(built: list[str], server: Path) -> None:
    (server / "kubectl").write_bytes(RELEASED)
    toolchain.ensure("kubectl")
    assert built == ["kubectl"]


def test_downloads_can_be_switched_off(built: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(downloads.SWITCH, "none")
    toolchain.ensure(TOOL)
    assert built == ["kind"]


def test_a_place_of_ones_own_is_asked_instead_of_the_projects(
    built: list[str], server: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pins = json.loads(downloads.FILE.read_text())
    pins["kind"]["url"] = "https://nowhere.invalid/releases/kind"
    downloads.FILE.write_text(json.dumps(pins))
    monkeypatch.setenv(downloads.SWITCH, (server / "address").read_text())
    assert toolchain.ensure(TOOL).read_bytes() == RELEASED


def test_checksums_that_are_missing_are_filled_in_from_the_servers(built: list[str], server: Path) -> None:
    (server / "kubectl").write_bytes(RELEASED)
    downloads.pin()
    pinned = json.loads(downloads.FILE.read_text())
    assert pinned["kubectl"]["sha256"] == pinned["kind"]["sha256"] == hashlib.sha256(RELEASED).hexdigest()


def test_each_release_has_the_version_that_the_go_modules_pin() -> None:
    pinned = {
        "helm": toolchain._required("kubernetes", "helm.sh/helm/v4"),
        "kubectl": toolchain.KUBERNETES_VERSION,
        "kind": toolchain._required("kind", "sigs.k8s.io/kind"),
    }
    entries = json.loads((downloads.CLUSTER / "downloads.json").read_text())
    assert entries.keys() == pinned.keys()
    for name, version in pinned.items():
        assert version in entries[name]["url"]
