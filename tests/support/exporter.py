"""What natsio/prometheus-nats-exporter 0.16.0 would export of a server, read from the server's own endpoints.

For tests of alerts and dashboards where the exporter image cannot be had; names, types and labels are those of the
exporter's collector/streaming.go and collector/collector.go at v0.16.0.
"""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_TIMEOUT = 5.0  # seconds that the server may take; the real exporter waits for ever


def metrics(monitor: str) -> str:
    """The text that a scrape of the exporter beside this server gives; monitor is a URL such as http://127.0.0.1:8222.

    An endpoint that does not answer in time is left out, as the exporter leaves out what it cannot read.
    """
    lines: list[str] = []
    for name, labels, value in _samples(monitor):
        pairs = ",".join(f"{key}={json.dumps(text)}" for key, text in labels.items())
        lines.append(f"{name}{{{pairs}}} {float(value)}")
    return "\n".join(lines) + "\n"


def names(monitor: str) -> set[str]:
    """The names of all metrics that this server gives now; per-channel ones only on an active that has channels."""
    return {name for name, _, _ in _samples(monitor)}


def _samples(monitor: str) -> Iterator[tuple[str, dict[str, str], float]]:
    server = {"server_id": monitor}
    for endpoint in ("varz", "routez", "subsz", "connz"):
        for key, value in (_get(f"{monitor}/{endpoint}") or {}).items():
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                yield f"gnatsd_{endpoint}_{key}", server, value
    status = _get(f"{monitor}/streaming/serverz")
    if status is None:
        return
    yield from _server(server, status)
    listing = _get(f"{monitor}/streaming/channelsz?subs=1") or {}
    for channel in listing.get("channels") or []:
        yield from _channel(server | {"server_role": status.get("role", "")}, channel)


def _server(server: Mapping[str, str], status: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, str], float]]:
    for name, key in (
        ("bytes_total", "total_bytes"),
        ("msgs_total", "total_msgs"),
        ("bytes_in", "in_bytes"),
        ("bytes_out", "out_bytes"),
        ("msgs_in", "in_msgs"),
        ("msgs_out", "out_msgs"),
        ("channels", "channels"),
        ("subscriptions", "subscriptions"),
        ("clients", "clients"),
    ):
        yield f"nss_server_{name}", dict(server), status[key]
    yield "nss_server_active", dict(server), status["state"] == "FT_ACTIVE"
    info = {key: str(status.get(key, "")) for key in ("cluster_id", "version", "state", "role", "start_time")}
    yield (
        "nss_server_info",
        {**server, **info, "go_version": str(status.get("go", ""))},
        1,
    )


def _channel(server: Mapping[str, str], channel: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, str], float]]:
    labels = {**server, "channel": channel["name"]}
    yield "nss_chan_bytes_total", labels, channel["bytes"]
    yield "nss_chan_msgs_total", labels, channel["msgs"]
    yield "nss_chan_last_seq", labels, channel["last_seq"]
    for sub in channel.get("subscriptions") or []:
        durable, queue = sub.get("durable_name", ""), sub.get("queue_name", "")
        if sub["is_durable"] and queue:  # the server joins the two names of a durable queue group
            durable, _, queue = queue.partition(":")
        own = {
            **labels,
            "client_id": sub["client_id"],
            "inbox": sub["inbox"],
            "queue_name": queue,
            "is_durable": str(sub["is_durable"]).lower(),
            "is_offline": str(sub["is_offline"]).lower(),
            "durable_name": durable,
        }
        yield "nss_chan_subs_last_sent", own, sub["last_sent"]
        yield "nss_chan_subs_pending_count", own, sub["pending_count"]
        yield "nss_chan_subs_max_inflight", own, sub["max_inflight"]


def _get(url: str) -> dict[str, Any] | None:
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer:
            found: dict[str, Any] = json.load(answer)
            return found
    except (OSError, ValueError):
        return None


@contextmanager
def serving(monitor: str) -> Iterator[str]:
    """Serve the metrics of one server on a free loopback port until the block ends; gives host:port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = metrics(monitor).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing: a scrape each second would fill the screen."""

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{httpd.server_port}"
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()
