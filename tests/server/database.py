"""A throwaway PostgreSQL on loopback: own data directory, own port, no root, no system service, gone after the test."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.ground import toolchain
from harness.loopback.server import HOST, free_ports
from stanft.ground import shell, wait

NOBODY = 65534  # the uid to run as where this user is root, which PostgreSQL refuses
PACKAGES = Path("/usr/lib/postgresql")  # where Debian keeps the programs, by version


@dataclass(frozen=True)
class Database:
    """A running server with the tables of nats-streaming-server in each database that is asked for."""

    programs: Path
    port: int
    log_file: Path

    def query(self, sql: str, name: str = "postgres") -> list[str]:
        """The lines that a statement gives, columns divided by |."""
        return shell.output(self._psql(name, "-qAtc", sql)).splitlines()

    def _psql(self, name: str, *arguments: str | Path) -> list[str | Path]:
        return [self.programs / "psql", "-h", HOST, "-p", str(self.port), "-U", "stan", "-d", name, *arguments]

    def make(self, name: str) -> str:
        """Make a database with the server's own tables; gives its data source name.

        The script's one line that PostgreSQL does not take (an index on the first letters of a name) is passed over by
        psql, as nats-streaming-server's own continuous integration does.
        """
        self.query(f'CREATE DATABASE "{name}"')
        source = toolchain.module_source("stan", "github.com/nats-io/nats-streaming-server")
        script = source / "scripts" / "postgres.db.sql"
        shell.run(self._psql(name, "-q", "-f", script))
        return (
            f"dbname={name} host={HOST} port={self.port} user=stan password=77 sslmode=disable "
            "readTimeout=5s writeTimeout=5s"
        )

    @contextmanager
    def locked(self, name: str, table: str) -> Iterator[None]:
        """Keep everybody else away from a table while the block runs."""
        with subprocess.Popen(
            self._psql(name, "-qAt"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as session:
            assert session.stdin is not None  # a pipe
            assert session.stdout is not None  # a pipe
            session.stdin.write(f"BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE; SELECT 'held';\n")
            session.stdin.flush()
            assert session.stdout.readline().strip() == "held"
            yield
            session.stdin.close()  # ends the session, and with it the lock

    @property
    def statements(self) -> list[str]:
        """What the clients asked for so far, one line each, with database and process in front."""
        return self.log_file.read_text().splitlines()


@contextmanager
def postgres() -> Iterator[Database]:
    """A running PostgreSQL; skips the test, and says so, where the program is not installed."""
    found = sorted(PACKAGES.glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if not found:
        pytest.skip(f"PostgreSQL is not installed (no {PACKAGES}/*/bin/postgres): apt-get install postgresql")
    programs = found[-1].parent
    user = NOBODY if os.geteuid() == 0 else None
    directory = Path(tempfile.mkdtemp(prefix="stan-postgres-"))
    try:
        if user is not None:
            os.chown(directory, user, user)
        data, [port] = directory / "data", free_ports(1)
        options = {"user": user, "group": user, "extra_groups": [] if user is not None else None}
        initdb = [programs / "initdb", "-D", data, "-U", "stan", "-A", "trust", "--no-sync", "--no-instructions"]
        initdb += ["-E", "UTF8", "--locale=C"]
        made = subprocess.run(initdb, check=False, capture_output=True, text=True, cwd="/", **options)
        assert made.returncode == 0, made.stderr
        settings = {
            "port": port,
            "listen_addresses": HOST,
            "unix_socket_directories": "",
            "fsync": "off",
            "log_statement": "all",
            "log_line_prefix": "%d %p ",
            "shared_buffers": "16MB",
        }
        command = [str(programs / "postgres"), "-D", str(data)]
        command += [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        log = directory / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, cwd="/", **options)
        try:
            wait.until(
                lambda: "ready to accept connections" in log.read_text() or process.poll() is not None,
                20,
                log.read_text,
                every=0.05,
            )
            assert process.poll() is None, log.read_text()
            yield Database(programs, port, log)
        finally:
            process.send_signal(signal.SIGQUIT)  # at once, without writing anything back
            process.wait(20)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
