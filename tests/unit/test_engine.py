"""Which container engine is used: the machine's own where it runs well, else one of our own, never a changed one."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from harness.cluster import engine
from harness.ground.paths import CLUSTER
from stanft.ground.errors import UserError

NO_CAPS = "OCI runtime create failed: unable to apply caps: operation not permitted"


class Machine:
    """A machine as engine.ensure() sees it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, own: bool, default: bool, words: str = "") -> None:
        self.own, self.default, self.words, self.service = own, default, words, False
        self.started: list[str] = []
        monkeypatch.delenv("DOCKER_HOST", raising=False)
        monkeypatch.setattr(engine.Engine, "answers", lambda one: self.own if one.host else self.default)
        monkeypatch.setattr(engine.Engine, "runs_privileged", lambda _: (not self.words, self.words))
        monkeypatch.setattr(engine, "_start_own", self.start_own)
        monkeypatch.setattr(engine, "_start_service", self.start_service)
        monkeypatch.setattr(engine.Engine, "denied", lambda _: False)
        monkeypatch.setattr(engine.Engine, "require_usable", lambda _: None)

    def start_own(self) -> engine.Engine:
        """Note that an engine of our own is started."""
        self.started.append("own")
        return engine.Engine(engine.OWN_SOCKET)

    def start_service(self, _: engine.Engine) -> bool:
        """Note that the machine's service is asked to start."""
        self.started.append("service")
        return self.service


def test_an_engine_that_already_runs_well_is_used_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, own=False, default=True)
    assert engine.ensure() == engine.Engine("")
    assert machine.started == []


def test_a_stopped_engine_is_started_as_the_machines_own_service(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, own=False, default=False)
    machine.service = True
    assert engine.ensure() == engine.Engine("")
    assert machine.started == ["service"]


def test_a_missing_engine_is_replaced_by_one_of_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, own=False, default=False)
    assert engine.ensure().host == engine.OWN_SOCKET
    assert machine.started == ["service", "own"]


def test_a_machine_that_lacks_a_capability_gets_a_separate_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, own=False, default=True, words=NO_CAPS)
    assert engine.ensure().host == engine.OWN_SOCKET
    assert machine.started == ["own"]


def test_an_engine_of_our_own_that_still_runs_is_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, own=True, default=True)
    assert engine.ensure().host == engine.OWN_SOCKET
    assert machine.started == []


def test_an_engine_that_fails_for_another_reason_is_not_worked_around(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, own=False, default=True, words="no space left on device")
    with pytest.raises(UserError, match="cannot start a privileged container:\nno space left on device"):
        engine.ensure()
    assert machine.started == []


@pytest.fixture(scope="module")
def runtime() -> ModuleType:
    """cluster/engine/runc-reduced as a module."""
    path = str(CLUSTER / "engine" / "runc-reduced")
    loader = importlib.machinery.SourceFileLoader("runc_reduced", path)
    spec = importlib.util.spec_from_loader("runc_reduced", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_the_reduced_runtime_takes_out_only_what_the_machine_lacks(
    runtime: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "bounding_set", lambda: {"CAP_CHOWN", "CAP_SYS_ADMIN"})
    config = tmp_path / "config.json"
    wanted = ["CAP_CHOWN", "CAP_SYS_ADMIN", "CAP_SYS_RESOURCE"]
    process = {"args": ["sh"], "capabilities": {"bounding": wanted, "effective": wanted}}
    config.write_text(json.dumps({"process": process, "root": {"path": "rootfs"}}))
    runtime.reduce_file(str(config), True)
    result = json.loads(config.read_text())
    assert result["process"]["capabilities"] == {
        kind: ["CAP_CHOWN", "CAP_SYS_ADMIN"] for kind in ("bounding", "effective")
    }
    assert result["process"]["args"] == ["sh"]
    assert result["root"] == {"path": "rootfs"}


@pytest.mark.parametrize("arguments", [["--bundle", "/b", "create"], ["create", "--bundle=/b", "id"]])
def test_the_reduced_runtime_finds_the_bundle_in_either_spelling(runtime: ModuleType, arguments: list[str]) -> None:
    assert runtime.value_of("--bundle", arguments) == "/b"


def test_the_reduced_runtime_knows_the_capabilities_of_this_kernel(runtime: ModuleType) -> None:
    assert "CAP_CHOWN" in runtime.bounding_set()
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    assert last < len(runtime.NAMES)
