"""Real nats-streaming-server processes on loopback: one, or a fault-tolerant group over one store directory.

Nothing outlives this process: each server is listed with a small watchdog that ends it when we are gone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import itertools
import json
import os
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from harness.ground import toolchain
from stanft.conf import edit
from stanft.ground import wait
from stanft.ground.errors import UserError
from stanft.words import ACTIVE, STANDBY

HOST = "127.0.0.1"
POLL = 0.01  # seconds between two looks at a condition that somebody waits for

MINIMAL = """\
port: 4222
http: 8222
cluster {
  name: "stan"
  port: 6222
  routes: [
    nats://stan-0.stan:6222
    nats://stan-1.stan:6222
    nats://stan-2.stan:6222
  ]
  cluster_advertise: $CLUSTER_ADVERTISE
}
streaming {
  id: "test-cluster"
  store: file
  dir: /data/stan/store
  ft_group_name: "test-cluster"
}
"""


class ServerError(AssertionError):
    """A server did not do in time what was waited for; carries the end of its log."""


@dataclass(frozen=True)
class Ports:
    """The three listening ports of one server."""

    client: int
    cluster: int
    monitor: int


SHARES = 8  # parts of the port range, one for each parallel test worker


def free_ports(count: int) -> list[int]:
    """So many free loopback ports, outside the range that the kernel gives to outgoing connections if possible."""
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    # Each parallel test worker has a range of its own: between this look and the server's start nothing holds a port.
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw").removeprefix("gw") or os.getpid()) % SHARES
    share = max(low - 14000, 8000) // SHARES
    with contextlib.ExitStack() as held:
        found: list[int] = []
        first = 12000 + worker * share
        for port in itertools.islice(
            itertools.cycle(range(first, first + share)), next(_counter) * 31 % share, 2 * share
        ):
            probe = held.enter_context(socket.socket())
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            found.append(port)
            if len(found) == count:
                return found
    raise UserError(f"no {count} free ports on {HOST} above {first}; end what holds them, then try again.")


def _count() -> Iterator[int]:
    number = 0
    while True:
        yield number
        number += 1


_counter = _count()


def localised(
    text: str, ports: Ports, routes: Sequence[int], directory: Path, substitutions: Mapping[str, str] | None = None
) -> str:
    """A configuration written for a pod, changed only in addresses and paths so that it runs on loopback.

    routes are the cluster ports of the group in pod order (the n-th route goes to the n-th port,
    routes beyond them go); directory becomes
    the store; substitutions are texts replaced beforehand, such as the folder of certificates.
    Raises UserError if the text is no configuration, has fewer routes than ports need, or no store directory.
    """
    for old, new in (substitutions or {}).items():
        text = text.replace(old, new)
    client, cluster, monitor = (f'"{HOST}:{port}"' for port in (ports.client, ports.cluster, ports.monitor))
    fixed = {
        "host": f'"{HOST}"',
        "net": f'"{HOST}"',
        "port": str(ports.client),
        "listen": client,
        **dict.fromkeys(("http", "http_port", "monitor_port", "https", "https_port"), monitor),
        "cluster.host": f'"{HOST}"',
        "cluster.net": f'"{HOST}"',
        "cluster.port": f'{ports.cluster}\n  host: "{HOST}"',
        **dict.fromkeys(("cluster.listen", "cluster.advertise", "cluster.cluster_advertise"), cluster),
        **dict.fromkeys(("streaming.dir", "streaming.datastore"), f'"{directory}"'),
    }
    found = {setting: ".".join(setting.path).lower() for setting in edit.settings(text)}
    named = set(found.values())
    changes = {setting: fixed[name] for setting, name in found.items() if name in fixed}
    urls = [setting for setting, name in found.items() if name == "cluster.routes.[]"]
    by_file = (edit.find(text, "streaming", "store") or "file").strip('"').lower() != "sql"
    if by_file and not named & {"streaming.dir", "streaming.datastore"}:
        raise UserError("the configuration names no store directory: give streaming.dir.")
    if routes and (not named & {"cluster.port", "cluster.listen"} or len(urls) < len(routes)):
        raise UserError(
            f"the configuration has {len(urls)} routes for {len(routes)} servers: "
            "list each server under cluster.routes."
        )
    for setting, port in zip(urls, routes, strict=False):
        changes[setting] = f'"{_routed(edit.unquoted(setting.value), port)}"'
    # Routes beyond the group's size go, with the separator before them: the server refuses two equal ones.
    for setting in urls[len(routes) :]:
        before = len(text[: setting.start].rstrip(" \t\r\n,"))
        changes[dataclasses.replace(setting, start=before)] = ""
    top = [] if named & {"host", "net", "listen"} else [f"host: {HOST}"]
    top += [] if named & {"port", "listen"} else [f"port: {ports.client}"]
    top += [] if named & {"http", "http_port", "monitor_port", "https", "https_port"} else [f"http: {monitor}"]
    return "\n".join([*top, edit.replaced(text, changes)])


def _routed(url: str, port: int) -> str:
    """A route's URL with its user kept and its address on loopback."""
    scheme, _, rest = url.rpartition("://")
    user, at, _ = rest.rpartition("@")
    return f"{scheme or 'nats'}://{user}{at}{HOST}:{port}"


class _Watchdog:
    """A shell that reads process ids from us and kills those still listed when the pipe closes, that is, we ended."""

    SCRIPT = (
        'pids=""; while read -r sign pid; do case "$sign" in +) pids="$pids $pid ";; '
        '-) pids=$(echo "$pids" | sed "s/ $pid / /");; esac; done; [ -z "${pids# }" ] || kill -9 $pids 2>/dev/null'
    )

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shell: subprocess.Popen[bytes] | None = None

    def tell(self, sign: str, pid: int) -> None:
        with self._lock:
            if self._shell is None or self._shell.poll() is not None:
                self._shell = subprocess.Popen(
                    ["/bin/sh", "-c", self.SCRIPT], stdin=subprocess.PIPE, start_new_session=True
                )
            assert self._shell.stdin is not None
            self._shell.stdin.write(f"{sign} {pid}\n".encode())
            self._shell.stdin.flush()


_watchdog = _Watchdog()


@dataclass(eq=False)
class Server:
    """One server process; started and ended as often as wanted, over the same configuration and log.

    user is the uid (and gid) to run as, which needs root; binary a server program that this user can reach;
    prefix a command that starts it, such as the chart's supervisor, whose process then counts as the server's.
    """

    name: str
    ports: Ports
    config: Path
    log_file: Path
    cluster_id: str
    arguments: list[str] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    user: int | None = None
    binary: Path | None = None
    umask: int = -1
    prefix: list[str] = field(default_factory=list)
    config_flag: str = "-sc"
    process: subprocess.Popen[bytes] | None = None
    exit_code: int | None = None

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"nats://{HOST}:{self.ports.client}"

    @property
    def pid(self) -> int:
        """The process id of the running server. Raises ServerError if it does not run."""
        if self.process is None:
            raise ServerError(f"{self.name} does not run")
        return self.process.pid

    # --- life -------------------------------------------------------------------------------------------------

    def start(self, *extra: str) -> None:
        """Start the process with extra arguments for this time only; does not wait for anything."""
        if self.alive:
            raise ServerError(f"{self.name} runs already")
        self.exit_code = None
        binary = self.binary or toolchain.ensure("nats-streaming-server")
        command = [*self.prefix, str(binary), self.config_flag, str(self.config), *self.arguments, *extra]
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self._pod(), **self.env},
                start_new_session=True,
                user=self.user,
                group=self.user,
                extra_groups=[] if self.user is not None else None,
                umask=self.umask,
            )
        _watchdog.tell("+", self.process.pid)

    def _pod(self) -> dict[str, str]:
        """The environment that the chart gives its container."""
        advertise = f"{HOST}:{self.ports.cluster}"
        return {
            "POD_NAME": self.name,
            "POD_NAMESPACE": "default",
            "CLUSTER_ADVERTISE": advertise,
            "SERVER_LOGIN": self.login,
        }

    @property
    def login(self) -> str:
        """User and password of the server's own connections, where the chart gives it such."""
        return f"server-{self.name}"

    @property
    def alive(self) -> bool:
        """Whether the process runs (or is stopped by pause)."""
        return self.process is not None and self._poll() is None

    def _poll(self) -> int | None:
        if self.process is not None and (code := self.process.poll()) is not None:
            _watchdog.tell("-", self.process.pid)
            self.exit_code, self.process = code, None
        return self.exit_code if self.process is None else None

    def wait_exit(self, timeout: float = 10.0) -> int:
        """Wait until the process has ended and give its exit code (negative: the signal that ended it)."""
        self._until(lambda: not self.alive, timeout, "end")
        assert self.exit_code is not None
        return self.exit_code

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        os.kill(self.pid, number)

    def stop(self, timeout: float = 10.0) -> int:
        """Graceful end with SIGTERM; gives the exit code (143 for this server)."""
        self.signal(signal.SIGTERM)
        return self.wait_exit(timeout)

    def kill(self) -> int:
        """End it with SIGKILL, wait for that, and give the exit code (-9)."""
        self.signal(signal.SIGKILL)
        return self.wait_exit()

    def pause(self) -> None:
        """Stop the process (SIGSTOP) and wait until all of it stands: it keeps its locks and connections."""
        self.signal(signal.SIGSTOP)
        self._until(lambda: all(state == "T" for state in self._thread_states()), 10.0, "stop")

    def _thread_states(self) -> list[str]:
        """The state of each thread, one letter as in proc(5)."""
        states = []
        for stat in Path(f"/proc/{self.pid}/task").glob("*/stat"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it may end meanwhile
                states.append(stat.read_text().rpartition(")")[2].split()[0])
        return states

    def resume(self) -> None:
        """Let a paused process go on."""
        self.signal(signal.SIGCONT)

    def reload(self) -> None:
        """Make the embedded NATS server read the configuration again (SIGHUP)."""
        self.signal(signal.SIGHUP)

    def reap(self) -> None:
        """Make sure that it is gone, whatever state it is in."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                self.kill()

    # --- what it says -----------------------------------------------------------------------------------------

    @property
    def log(self) -> str:
        """Everything that the server has printed so far, over all its starts."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def get(self, path: str, timeout: float = 1.0) -> tuple[int, bytes] | None:
        """Status and body of a monitoring endpoint, or None if it does not answer within timeout seconds.

        The list endpoints under /streaming hang while the server recovers its store (server/monitor.go).
        """
        connection = http.client.HTTPConnection(HOST, self.ports.monitor, timeout=timeout)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def json(self, path: str, timeout: float = 1.0) -> dict[str, Any] | None:
        """The JSON object of a monitoring endpoint, or None if it does not answer with one in time."""
        answer = self.get(path, timeout)
        if answer is None or answer[0] != 200:
            return None
        content = json.loads(answer[1])
        return content if isinstance(content, dict) else None

    @property
    def healthy(self) -> bool:
        """Whether /healthz answers 200 (says nothing about the streaming part)."""
        answer = self.get("/healthz")
        return answer is not None and answer[0] == 200

    @property
    def state(self) -> str | None:
        """FT_ACTIVE, FT_STANDBY or another state from /streaming/serverz; None if that does not answer."""
        content = self.json("/streaming/serverz")
        return None if content is None else str(content["state"])

    @property
    def is_active(self) -> bool:
        """Whether this server is the active."""
        return self.alive and self.state == ACTIVE

    @property
    def routes(self) -> int:
        """How many servers it has a route to."""
        content = self.json("/routez")
        return 0 if content is None else len({route["remote_id"] for route in content["routes"]})

    # --- waiting ----------------------------------------------------------------------------------------------

    def _until(self, condition: Callable[[], bool], timeout: float, what: str) -> None:
        def why() -> str:
            tail = "\n".join(self.log.splitlines()[-15:])
            return f"{self.name} did not {what} within {timeout:g} s; its log ends with:\n{tail}"

        wait.until(condition, timeout, why, every=POLL, error=ServerError)

    def wait_healthy(self, timeout: float = 15.0) -> None:
        """Wait until /healthz answers 200. Raises ServerError after timeout seconds or if the process ends."""
        self._until(lambda: self._must_live() and self.healthy, timeout, "become healthy")

    def wait_state(self, state: str, timeout: float = 15.0) -> None:
        """Wait until serverz shows this state. Raises ServerError after timeout seconds or if the process ends."""
        self._until(lambda: self._must_live() and self.state == state, timeout, f"become {state}")

    def wait_log(self, text: str, timeout: float = 10.0, *, count: int = 1) -> None:
        """Wait until the log holds a text (so many times). Raises ServerError after timeout seconds."""
        self._until(lambda: self.log.count(text) >= count, timeout, f"log {text!r}")

    def _must_live(self) -> bool:
        if not self.alive:
            tail = "\n".join(self.log.splitlines()[-15:])
            raise ServerError(f"{self.name} ended with exit code {self.exit_code}; its log ends with:\n{tail}")
        return True


class Group:
    """A fault-tolerant group of servers on loopback over one store directory; a context manager that ends them all.

    config is a rendered stan.conf (default: a minimal one); its addresses and paths are replaced, see localised().
    overrides gives a server (by number) a configuration of its own. arguments and env go to every server.
    """

    def __init__(
        self,
        directory: Path | str | None = None,
        *,
        size: int = 3,
        config: str = MINIMAL,
        overrides: Mapping[int, str] | None = None,
        arguments: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        store: Path | None = None,
        substitutions: Mapping[str, str] | None = None,
    ) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="stan-group-") if directory is None else None
        self.directory = Path(self._temporary.name if self._temporary else str(directory))
        self.directory.mkdir(parents=True, exist_ok=True)
        self.store = store or self.directory / "store"
        numbers = free_ports(3 * size)
        ports = [Ports(*numbers[3 * n : 3 * n + 3]) for n in range(size)]
        routes = [port.cluster for port in ports] if size > 1 else []
        self.servers: list[Server] = []
        for number, own in enumerate(ports):
            text = localised((overrides or {}).get(number, config), own, routes, self.store, substitutions)
            path = self.directory / f"stan-{number}.conf"
            path.write_text(text)
            self.servers.append(
                Server(
                    name=f"stan-{number}",
                    ports=own,
                    config=path,
                    log_file=self.directory / f"stan-{number}.log",
                    cluster_id=edit.find(text, "streaming", "id") or "test-cluster",
                    arguments=list(arguments),
                    env=dict(env or {}),
                )
            )

    @property
    def cluster_id(self) -> str:
        """The cluster id that clients give."""
        return self.servers[0].cluster_id

    @property
    def urls(self) -> list[str]:
        """Where clients connect: all servers."""
        return [server.url for server in self.servers]

    @property
    def monitors(self) -> list[str]:
        """The monitoring address of each server."""
        return [f"http://{HOST}:{server.ports.monitor}" for server in self.servers]

    def __getitem__(self, number: int) -> Server:
        return self.servers[number]

    def start(self, order: Sequence[int] | None = None, *, timeout: float = 15.0) -> Server:
        """Start the servers (in this order, default by number), wait until the group is whole, give the active."""
        for number in order if order is not None else range(len(self.servers)):
            self.servers[number].start()
        return self.wait_whole(timeout)

    def actives(self) -> list[Server]:
        """The servers that say they are active now; more than one must never be."""
        return [server for server in self.servers if server.is_active]

    def standbys(self) -> list[Server]:
        """The running servers that say they stand by now."""
        return [server for server in self.servers if server.alive and server.state == STANDBY]

    def wait_active(self, timeout: float = 15.0, *, other_than: Server | None = None) -> Server:
        """Wait until one server (another one, if so asked) is active. Raises ServerError after timeout seconds."""
        found: list[Server] = []

        def one_active() -> bool:
            found[:] = [server for server in self.servers if server is not other_than and server.is_active]
            if len(found) != 1 and not any(server.alive for server in self.servers):
                raise ServerError(f"every server has ended:\n{self.tails()}")
            return len(found) == 1

        wait.until(
            one_active,
            timeout,
            lambda: f"{len(found)} active servers after {timeout:g} s, 1 was expected:\n{self.tails()}",
            every=POLL,
            error=ServerError,
        )
        return found[0]

    def wait_whole(self, timeout: float = 15.0) -> Server:
        """Wait until one server is active, all other running ones stand by and have routes to each other."""
        active = self.wait_active(timeout)
        others = sum(server.alive for server in self.servers) - 1
        wait.until(
            lambda: (
                len(self.standbys()) == others
                and all(server.routes >= others for server in self.servers if server.alive)
            ),
            timeout,
            lambda: f"the group is not whole after {timeout:g} s:\n{self.tails()}",
            every=POLL,
            error=ServerError,
        )
        return active

    def tails(self) -> str:
        """The end of each server's log, for messages."""
        return "\n".join(f"--- {s.name}\n" + "\n".join(s.log.splitlines()[-8:]) for s in self.servers)

    def stop(self) -> None:
        """End every server, at once."""
        for server in self.servers:
            server.reap()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self._temporary is not None:
            self._temporary.cleanup()
