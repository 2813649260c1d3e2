"""What the supervisor knows, for Prometheus and for people: GET /metrics, and /healthz for a probe."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from dataclasses import dataclass, field

from gate import Tally
from lease import Lease, now

ANSWER = 2.0  # seconds for one request
AT_ONCE = 16  # requests answered at the same time; others wait, and take no thread that the server needs
LONGEST = 65536  # bytes of a request, and of a part of an answer
_HELP = {
    "stan_fencing_guarded": "1 when every file of the store is given out locked and proven, 0 when not.",
    "stan_fencing_lease_locked": "1 when the file system granted the supervisor's own lock.",
    "stan_fencing_lease_held": "1 while the lease of the store is held, 0 before it is and once it was lost.",
    "stan_fencing_lease_age_seconds": "Seconds since the sending of the last proof that the storage confirmed.",
    "stan_fencing_limit_seconds": "Seconds of silence of the storage after which an active server is ended.",
    "stan_fencing_clock_skew_seconds": "Seconds by which the node's clock is ahead of the storage's; negative: behind.",
    "stan_fencing_files_locked_total": "Files of the store that were opened for writing with a lock of their own.",
    "stan_fencing_files_unguarded_total": "Files of the store that were opened for writing without a lock.",
    "stan_fencing_files_refused_total": "Files of the store that the server asked for and did not get.",
    "stan_fencing_names_proven_total": "Changes of names and sizes in the store that were let through after a proof.",
    "stan_fencing_lock_wait_seconds_total": "Seconds spent waiting for locks that another process still held.",
}


@dataclass
class Status:
    """What is told about one supervised server; unguarded says why it runs without protection, empty if it does not."""

    store: str
    file_system: str
    limit: float
    unguarded: str = ""
    lease: Lease | None = None
    tally: Tally = field(default_factory=Tally)

    def numbers(self) -> dict[str, float]:
        """Metric name -> value."""
        lease, tally = self.lease, self.tally
        held = lease is not None and not lease.lost
        guarded = held and lease is not None and lease.locked and not self.unguarded
        return {
            "stan_fencing_guarded": int(guarded),
            "stan_fencing_lease_locked": int(lease is not None and lease.locked),
            "stan_fencing_lease_held": int(held),
            "stan_fencing_lease_age_seconds": round(now() - lease.good, 3) if lease else 0,
            "stan_fencing_limit_seconds": self.limit,
            "stan_fencing_clock_skew_seconds": round(lease.skew, 3) if lease else 0,
            "stan_fencing_files_locked_total": tally.locked,
            "stan_fencing_files_unguarded_total": tally.unguarded,
            "stan_fencing_files_refused_total": tally.refused,
            "stan_fencing_names_proven_total": tally.names,
            "stan_fencing_lock_wait_seconds_total": round(tally.waited, 3),
        }

    def metrics(self) -> str:
        """The numbers in Prometheus' text format."""
        lines = []
        for name, value in self.numbers().items():
            kind = "counter" if name.endswith("_total") else "gauge"
            lines += [f"# HELP {name} {_HELP[name]}", f"# TYPE {name} {kind}", f"{name} {value:g}"]
        labels = {"store": self.store, "file_system": self.file_system, "unguarded": self.unguarded}
        text = ",".join(f"{name}={json.dumps(value)}" for name, value in labels.items())
        name = "stan_fencing_info"
        lines += [f"# HELP {name} What is guarded, and why it is not.", f"# TYPE {name} gauge", f"{name}{{{text}}} 1"]
        return "\n".join(lines) + "\n"


class Server:
    """Answers from the moment of serve(); the port is taken at once, so that a wrong one is told at start.

    Of HTTP it knows what a scrape and a probe need: the standard library's server would double the time of a start.
    """

    def __init__(self, address: str, port: int, status: Status) -> None:
        """Without an address: all of this machine's, of both families where it has both. Raises OSError."""
        both = not address and socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if both or ":" in address else socket.AF_INET
        self._socket = socket.create_server((address, port), family=family, dualstack_ipv6=both)
        self._status = status
        self._free = threading.Semaphore(AT_ONCE)

    def serve(self) -> None:
        """Answer in threads of their own."""
        threading.Thread(target=self._accept, name="status", daemon=True).start()

    def _accept(self) -> None:
        while True:
            self._free.acquire()
            try:
                connection, _ = self._socket.accept()
                threading.Thread(target=self._answer, args=(connection,), name="status", daemon=True).start()
            except (OSError, RuntimeError):  # no descriptor, no thread is to be had: no reason to end the server
                self._free.release()
                time.sleep(0.1)

    def _answer(self, connection: socket.socket) -> None:
        try:
            self._reply(connection)
        finally:
            self._free.release()

    def _reply(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            request, until = b"", time.monotonic() + ANSWER
            while b"\r\n\r\n" not in request and len(request) < LONGEST:
                connection.settimeout(max(0.01, until - time.monotonic()))
                if not (more := connection.recv(LONGEST)):
                    return
                request += more
            path = request.split(b" ", 2)[1:2]
            code, kind, text = "404 Not Found", "text/plain", "there are /metrics and /healthz\n"
            if path == [b"/metrics"]:
                code, kind, text = "200 OK", "text/plain; version=0.0.4", self._status.metrics()
            elif path == [b"/healthz"]:
                code, kind, text = "200 OK", "application/json", json.dumps(self._status.numbers()) + "\n"
            body = text.encode()
            head = (
                f"HTTP/1.1 {code}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            )
            connection.sendall(head.encode() + body)


class Activity:
    """Whether the server has said that it is active, which it stays until it ends; a recovering one is not yet.

    Asks the server's monitoring port once a second until then. Without one, it is whatever files it has been given.
    """

    def __init__(self, monitor: str, tally: Tally) -> None:
        self._monitor, self._tally = monitor.rstrip("/"), tally
        self._active = False
        if monitor:
            threading.Thread(target=self._watch, name="activity", daemon=True).start()

    @property
    def active(self) -> bool:
        """Whether the server is active."""
        return self._active or (not self._monitor and self._tally.locked + self._tally.unguarded > 0)

    def _watch(self) -> None:
        while not self._active:
            time.sleep(1.0)
            if self._tally.locked + self._tally.unguarded == 0:
                continue  # a standby has been given no file
            with contextlib.suppress(OSError, ValueError):
                self._active = self._state() == "FT_ACTIVE"

    def _state(self) -> object:
        scheme, _, rest = self._monitor.partition("://")
        address, _, path = rest.partition("/")
        host, _, port = address.rpartition(":")
        connection = socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER)
        if scheme == "https":
            import ssl  # noqa: PLC0415 (seldom needed, and slow to load)

            # Nothing secret is asked, and this computer itself answers: its certificate names other hosts.
            trust = ssl.create_default_context()
            trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
            connection = trust.wrap_socket(connection)
        with connection:
            prefix = f"/{path}".rstrip("/")
            connection.sendall(f"GET {prefix}/streaming/serverz HTTP/1.0\r\nHost: {address}\r\n\r\n".encode())
            answer = b"".join(iter(lambda: connection.recv(LONGEST), b""))
        found = json.loads(answer.partition(b"\r\n\r\n")[2])
        return found.get("state") if isinstance(found, dict) else None
