"""What the supervisor knows, for Prometheus and for people: GET /metrics, and /healthz for a probe."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import socket
import threading
import time
import urllib.parse
from dataclasses import dataclass, field

from gate import Tally
from lease import Lease, now

_HELP = {
    "stan_fencing_guarded": "1 when every file of the store is given out locked and proven, 0 when not.",
    "stan_fencing_lease_locked": "1 when the file system granted the supervisor's own lock.",
    "stan_fencing_lease_held": "1 while the lease of the store is held, 0 before it is and once it was lost.",
    "stan_fencing_lease_age_seconds": "Seconds since the sending of the last proof that the storage confirmed.",
    "stan_fencing_limit_seconds": "Seconds of silence of the storage after which an active server is ended.",
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


class Server(http.server.ThreadingHTTPServer):
    """Answers from the moment of serve(); the port is taken at once, so that a wrong one is told at start."""

    daemon_threads = True

    def __init__(self, address: str, port: int, status: Status) -> None:
        """Without an address: all of this machine's, of both families where it has both. Raises OSError."""
        self.status = status
        both = not address and socket.has_dualstack_ipv6()
        self.address_family = socket.AF_INET6 if both or ":" in address else socket.AF_INET
        super().__init__((address, port), _Handler, bind_and_activate=False)
        try:
            if both:
                self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            self.server_bind()
            self.server_activate()
        except OSError:
            self.server_close()
            raise

    def serve(self) -> None:
        """Answer in a thread of its own."""
        threading.Thread(target=self.serve_forever, name="status", daemon=True).start()


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Server
    timeout = 10.0

    def do_GET(self) -> None:
        """Answer one request."""
        if self.path == "/metrics":
            self._answer(200, "text/plain; version=0.0.4", self.server.status.metrics())
        elif self.path == "/healthz":
            self._answer(200, "application/json", json.dumps(self.server.status.numbers()) + "\n")
        else:
            self._answer(404, "text/plain", "there are /metrics and /healthz\n")

    def _answer(self, code: int, kind: str, text: str) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (named by the standard library)
        """Requests are nothing to tell."""


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
            with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
                self._active = self._state() == "FT_ACTIVE"

    def _state(self) -> object:
        url = urllib.parse.urlsplit(self._monitor)
        connection = http.client.HTTPConnection(url.netloc, timeout=2.0)
        if url.scheme == "https":
            import ssl  # noqa: PLC0415 (the machines of the NFS lab have none)

            trust = ssl.create_default_context()
            # Nothing secret is asked, and this computer itself answers: its certificate names other hosts.
            trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
            connection = http.client.HTTPSConnection(url.netloc, timeout=2.0, context=trust)
        with contextlib.closing(connection):
            connection.request("GET", f"{url.path}/streaming/serverz")
            return json.load(connection.getresponse()).get("state")
