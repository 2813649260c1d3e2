"""Faults of nodes, processes and volumes, as asked of nodes that play along: what they hit, and how it heals."""

from __future__ import annotations

import contextlib
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from standins import Programs, played_group

from harness.cluster.engine import Engine
from harness.cluster.kind import Cluster
from harness.local import furnish
from stanft import faults
from stanft.faults import Scene
from stanft.ground.errors import UserError

furnish.add_faults()

PODS = ("stan-0", "stan-1", "stan-2")  # on worker, worker2 and worker3; stan-1 is active
NODE = "stan-ft-worker2"
STORE = "/var/shared/claim"
# Nodes that answer what a fault asks them; a pod's server has the process id 100 + its number, its exporter 200 more.
DOCKER = """
case "$*" in
ps*) printf 'stan-ft-%s\\n' control-plane worker worker2 worker3 ;;
*"ctr -n k8s.io tasks ls"*)
  echo "TASK PID STATUS"
  for n in 0 1 2; do echo "server-of-stan-$n 10$n RUNNING"; echo "exporter-of-stan-$n 30$n RUNNING"; done ;;
*"date +%s%N"*) date +%s%N ;;
*"losetup -f"*) echo /dev/loop7 ;;
*setsid*) echo 4242 ;;
esac
"""
KUBECTL = """
case "$*" in
*--no-headers) printf 'stan-ft-%s Ready\\n' control-plane worker worker2 worker3 ;;
*"-o json") echo '{"items": []}' ;;
esac
"""


class Kubernetes:
    """The API as far as these faults use it: one claim in a directory of the nodes, and the number of servers."""

    def __init__(self) -> None:
        self.scaled: list[int] = []
        self.gone = False

    def read_namespaced_persistent_volume_claim(self, _name: str, _namespace: str) -> Any:
        """The servers' claim."""
        return SimpleNamespace(spec=SimpleNamespace(volume_name="pv-1"))

    def read_persistent_volume(self, _name: str) -> Any:
        """Its volume."""
        path = None if self.gone else SimpleNamespace(path=STORE)
        return SimpleNamespace(spec=SimpleNamespace(host_path=path, local=None))

    def patch_namespaced_stateful_set_scale(self, _name: str, _namespace: str, body: dict[str, Any]) -> None:
        """Note the number."""
        self.scaled.append(body["spec"]["replicas"])

    def read_namespaced_pod(self, name: str, _namespace: str) -> Any:
        """A pod that was replaced already."""
        return SimpleNamespace(metadata=SimpleNamespace(name=name, uid="another"))


def pod(name: str, *containers: str) -> Any:
    """A pod as the API gives it."""
    identities = {"stan": f"containerd://server-of-{name}", "metrics": f"containerd://exporter-of-{name}"}
    number = int(name[-1])
    return SimpleNamespace(
        metadata=SimpleNamespace(name=name, uid=f"uid-of-{name}"),
        spec=SimpleNamespace(
            node_name=f"stan-ft-worker{number + 1 if number else ''}",
            containers=[SimpleNamespace(name=each, ports=[]) for each in containers],
            volumes=[SimpleNamespace(persistent_volume_claim=SimpleNamespace(claim_name="efs"))],
        ),
        status=SimpleNamespace(
            pod_ip=f"10.0.0.{number}",
            container_statuses=[SimpleNamespace(name=each, container_id=identities[each]) for each in containers],
        ),
    )


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """A local cluster whose nodes note what is done to them."""
    made = Programs(tmp_path, monkeypatch)
    made.tools(kubectl=KUBECTL)
    made.add("docker", DOCKER)
    made.add("ip")
    monkeypatch.delenv("STAN_FT_CLUSTER", raising=False)
    return made


def scene(api: Kubernetes, *containers: str) -> Scene:
    """Three servers on three nodes, stan-1 active."""
    pods = [pod(name, *(containers or ("stan", "metrics"))) for name in PODS]
    group = played_group(api, "default", pods, active="stan-1")
    return Scene(group, Cluster(Engine("")))


def play(programs: Programs, name: str, on: Scene | None = None) -> tuple[list[str], list[str], list[str]]:
    """Play a fault over a block that fails: its victims, what the nodes were asked for it, and for its healing."""
    victims: list[str] = []
    before: list[str] = []
    with contextlib.suppress(ZeroDivisionError), faults.find(name).on(on or scene(Kubernetes())) as injection:
        before = programs.asked("docker")
        victims = injection.victims
        assert injection.at > 0
        raise ZeroDivisionError
    done = [
        line for line in before if "ctr -n" not in line and "/children" not in line and not line.startswith("docker ps")
    ]
    return victims, done, programs.asked("docker")[len(before) :]


@pytest.mark.parametrize(("name", "words"), [("node-kill", "kill"), ("node-stop", "stop --time 10")])
def test_a_node_that_was_ended_is_started_again_and_the_way_to_its_pods_is_set(
    programs: Programs, name: str, words: str
) -> None:
    victims, done, healed = play(programs, name)
    assert victims == [NODE, "stan-1"]
    assert done == [f"docker {words} {NODE}"]
    assert healed[0] == f"docker start {NODE}"
    assert any(line.endswith("get nodes -o json") for line in programs.asked("kubectl")), "routes follow the nodes"


def test_a_paused_node_goes_on(programs: Programs) -> None:
    _, done, healed = play(programs, "node-pause")
    assert (done, healed) == ([f"docker pause {NODE}"], [f"docker unpause {NODE}"])


def rules(lines: list[str], flag: str) -> Counter[str]:
    """The packet filter's rules that are put in (-I) or taken out (-D) on the active's node."""
    assert all(line.startswith(f"docker exec {NODE} ") for line in lines)
    parts = [part for line in lines for part in line.split("iptables -w ")[1:]]
    return Counter(part.removeprefix(f"{flag} ").rstrip("; ") for part in parts if part.startswith(flag))


@pytest.mark.parametrize(("name", "number"), [("cut-peers", 4), ("cut-all", 4)])
def test_every_rule_that_cuts_a_server_off_is_taken_out_again(programs: Programs, name: str, number: int) -> None:
    _, done, healed = play(programs, name)
    cut = rules(done, "-I")
    assert cut.total() == number
    assert rules(healed, "-D") == cut


def test_peers_are_cut_off_in_both_directions_and_nobody_else_is(programs: Programs) -> None:
    _, done, _ = play(programs, "cut-peers")
    addresses = {tuple(rule.split()[2:5:2]) for rule in rules(done, "-I")}
    active = "10.0.0.1"
    assert addresses == {(peer, active) for peer in ("10.0.0.0", "10.0.0.2")} | {
        (active, peer) for peer in ("10.0.0.0", "10.0.0.2")
    }


def test_the_api_server_comes_back_with_its_manifest(programs: Programs) -> None:
    victims, done, healed = play(programs, "api-gone")
    assert victims == ["stan-ft-control-plane"]
    manifest, aside = done[0].split()[-2:]
    assert done[0].startswith("docker exec stan-ft-control-plane mv ")
    assert healed[0].endswith(f"mv {aside} {manifest}")


def test_the_server_is_killed_while_the_api_server_stands_still_and_that_goes_on_afterwards(programs: Programs) -> None:
    victims, done, healed = play(programs, "kill-without-api")
    assert victims == ["stan-ft-control-plane", "stan-1"]
    signalled = "docker exec stan-ft-control-plane pkill {} -x kube-apiserver"
    assert done[0] == signalled.format("-STOP")
    assert done[-1].endswith("kill -9 101")
    assert healed[0] == signalled.format("-CONT")


@pytest.mark.parametrize(
    ("name", "hit"),
    [
        ("kill", [f"{NODE} 9 101"]),
        ("terminate", [f"{NODE} 15 101"]),
        ("kill-standby", ["stan-ft-worker 9 100"]),
        ("kill-two", [f"{NODE} 9 101", "stan-ft-worker 9 100"]),
        ("kill-exporter", [f"{NODE} 9 301"]),
    ],
)
def test_a_signal_goes_to_the_process_of_the_pod_that_is_named(programs: Programs, name: str, hit: list[str]) -> None:
    victims, done, healed = play(programs, name)
    sent = [f"{line.split()[2]} {line.split()[-2].removeprefix('-')} {line.split()[-1]}" for line in done]
    assert sent == hit
    assert len(victims) == len(hit)
    assert healed == [], "what is killed is started again by Kubernetes"


def test_a_signal_goes_to_the_server_and_not_to_its_supervisor(programs: Programs) -> None:
    programs.add(
        "docker",
        DOCKER.replace("case", 'case "$*" in *"/proc/101/task/101/children") echo 4711; exit ;; esac\ncase', 1),
    )
    _, done, _ = play(programs, "hang")
    assert done[0].endswith("kill -19 4711")


def test_a_stopped_server_goes_on(programs: Programs) -> None:
    _, done, healed = play(programs, "hang")
    assert done[0].endswith("kill -19 101")
    assert healed == [f"docker exec {NODE} kill -CONT 101"]


def test_without_an_exporter_there_is_none_to_kill(programs: Programs) -> None:
    with pytest.raises(UserError, match="no exporter to crash"):
        play(programs, "kill-exporter", scene(Kubernetes(), "stan"))


@pytest.mark.parametrize("tasks", ["", DOCKER.replace("RUNNING", "STOPPED")], ids=["no task", "it has ended"])
def test_a_server_that_does_not_run_cannot_be_signalled(programs: Programs, tasks: str) -> None:
    programs.add("docker", tasks)
    with pytest.raises(UserError, match="container stan of pod stan-1 does not run"):
        play(programs, "kill")


@pytest.mark.parametrize(
    ("name", "broken", "mended"),
    [
        ("volume-full", "fallocate", f"rm -f {STORE}/drill-filler"),
        ("volume-hang", f"fsfreeze --freeze {STORE}", f"fsfreeze --unfreeze {STORE}"),
        ("volume-slow", "setsid", f"fsfreeze --unfreeze {STORE}"),
    ],
)
def test_a_broken_volume_takes_writes_again(programs: Programs, name: str, broken: str, mended: str) -> None:
    victims, [done], healed = play(programs, name)
    assert victims == ["claim"]
    assert broken in done
    assert healed[-1].endswith(mended)


def test_the_slowing_down_itself_is_ended_before_the_last_thaw(programs: Programs) -> None:
    _, _, healed = play(programs, "volume-slow")
    assert "kill -- -4242" in healed[0]
    assert healed[1].endswith(f"fsfreeze --unfreeze {STORE}")


def test_the_servers_are_on_a_small_file_system_of_every_node_only_while_it_lasts(programs: Programs) -> None:
    api = Kubernetes()
    with contextlib.suppress(ZeroDivisionError), faults.find("volume-full").ready(scene(api)):
        before = programs.asked("docker exec")
        assert api.scaled == [0, 3], "no server runs while its directory is replaced"
        raise ZeroDivisionError
    mounted = [line.split()[2] for line in before if f"mount /dev/loop7 {STORE}" in line]
    after = programs.asked("docker exec")[len(before) :]
    unmounted = [line.split()[2] for line in after if f"umount {STORE}" in line]
    assert sorted(mounted) == sorted(unmounted) == ["stan-ft-worker", "stan-ft-worker2", "stan-ft-worker3"]
    assert "losetup -d" in after[-1], "the image goes after the last node let go of it"
    assert api.scaled == [0, 3, 0, 3]


def test_a_volume_that_is_no_directory_of_the_nodes_is_left_alone(programs: Programs) -> None:
    api = Kubernetes()
    api.gone = True
    with pytest.raises(UserError, match="its volume cannot be broken"), faults.find("volume-hang").on(scene(api)):
        pass
    assert not programs.asked("docker exec")
