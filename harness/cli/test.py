"""scripts/test: every suite in order, each brought up with what it needs; nothing is skipped without a word."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from harness.cluster.kind import Cluster
from harness.dev import linecover, rehearsed
from harness.ground import system, toolchain
from harness.ground.beside import beside
from harness.ground.paths import REPO, bytecode, cache
from harness.local.up import prepare, start_engine, up
from harness.nfs_lab import image, packages
from stanft.cli import common
from stanft.ground import shell
from stanft.ground.errors import UserError
from stanft.ground.progress import say

REPORTS = REPO / "build" / "test"
_OPEN = Path("/var/tmp")  # noqa: S108 (a directory of our own in it; it is for large files, and open to every user)
LAST = 40  # lines or tests that are told again at the end of the run
REHEARSAL = "rehearsal"  # what a newcomer sees on a bare system: the short form of scripts/rehearse


@dataclass(frozen=True)
class Suite:
    """A group of tests that is run in one go."""

    name: str
    folders: tuple[str, ...]
    workers: int = 0  # 0: one test after the other, as these watch the clock or share the cluster
    needs_cluster: bool = False
    room: int = 4 << 30  # bytes for the stores, databases and disks of its tests
    patience: int = 600  # seconds that one test may take before it is ended with its stack shown
    packages: tuple[tuple[str, str], ...] = ()  # command and Debian package that holds it
    tools: tuple[str, ...] = ()  # pinned tools: built before the first test, as no build fits into a test's clock
    sources: tuple[tuple[str, str], ...] = ()  # Go modules whose source is read: wrapper module and path
    options: tuple[str, ...] = ()  # of pytest, beside those that every suite gets
    share: str = "worksteal"  # how tests are shared among workers: loadfile where a file has one namespace for all


# What a user of another cluster says with the same options of pytest-helm-charts (docs/prove.md).
ACCEPTANCE = (
    "--chart-path=charts/stan-ft",
    "--app-config-file-path=environments/kind/stan-ft.yaml",
    "--cluster-type=kind",
)

_REGISTRY = ("docker-registry", "docker-registry")  # an OCI registry on loopback
# Servers and clients of NATS; whichever the toolchain knows.
_NATS = tuple(name for name in toolchain.names() if name.startswith(("nats-", "stan-")))
_ON_KIND = (*_NATS, "ct", "directory-provisioner", "helm", "helm-render", "kind", "kubectl")
SUITES = (
    # Many of these wait for a while, so more of them than cores can run: 173 s with four on 2 cores, 285 s with two.
    Suite(
        "unit and render",
        ("unit", "render"),
        workers=4,
        room=0,
        tools=("helm", "helm-docs", "helm-render", "kubectl", "nats-streaming-server"),
    ),
    # These mostly wait for heartbeats, so more of them than cores can run; some read the server's system calls, some
    # run a PostgreSQL of their own.
    Suite(
        "server",
        ("server",),
        workers=3,
        patience=120,
        packages=(
            ("strace", "strace"),
            ("perl", "perl-base"),
            ("mkfs.ext4", "e2fsprogs"),
            ("/usr/lib/postgresql", "postgresql"),
            _REGISTRY,
        ),
        tools=(*_NATS, "helm", "helm-render", "prometheus", "promtool"),
        sources=(("stan", "github.com/nats-io/nats-streaming-server"),),
    ),
    Suite("nfs", ("nfs",), patience=900, tools=image.TOOLS),
    Suite("acceptance", ("acceptance",), needs_cluster=True, tools=("helm", "kind", "kubectl"), options=ACCEPTANCE),
    # Releases in namespaces of their own, which mostly wait for pods; before the suite that stops nodes.
    Suite(
        "releases",
        ("releases",),
        workers=2,
        needs_cluster=True,
        packages=(_REGISTRY,),
        tools=_ON_KIND,
        share="loadfile",
    ),
    Suite("failover", ("failover",), needs_cluster=True, packages=(_REGISTRY,), tools=_ON_KIND),
)
# Suites without which a run proves nothing: skipped tests in them fail the run where nobody watches.
MUST_RUN = frozenset({"acceptance", "releases", "failover"})
# Why a test may be skipped, by words in its reason: what a machine cannot give and nobody can install there.
MAY_SKIP = (
    r"\bonly root\b|by root only|needs root",  # a user without sudo, or a test that only makes sense as root
    r"run it on (x86-64|Debian 12)|x86-64 Debian",  # the NFS lab's machines
    r"/dev/net/tun is missing",
    r"strace may not attach here",  # containers without that right
    r"no Chromium on this machine",  # half a gigabyte to look at one page
)


@dataclass
class Count:
    """What a suite's JUnit file says."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    reasons: Counter[str] = field(default_factory=Counter)  # of the skipped ones, with their number
    broken: list[str] = field(default_factory=list)  # each test that failed, with the first line of why

    def add(self, other: Count) -> None:
        """Add another suite's numbers."""
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.reasons += other.reasons
        self.broken += other.broken


def main() -> int:
    """Run the chosen suites and return 1 if anything failed, or if tests that need the cluster did not run."""
    names = [REHEARSAL, *(folder for suite in SUITES for folder in suite.folders)]
    parser = argparse.ArgumentParser(
        prog="scripts/test",
        description="Runs every test and brings up what it needs. Suites: lint, " + ", ".join(names) + ".",
    )
    parser.add_argument("suites", nargs="*", metavar="SUITE", help="only these suites (default: all)")
    parser.add_argument("-k", dest="expression", metavar="EXPRESSION", help="only tests whose names match (pytest -k)")
    parser.add_argument(
        "--coverage",
        action="store_true",
        help="measure which lines of harness/ run, and report it over all suites measured so far (build/coverage)",
    )
    parser.add_argument(
        "--prepare", action="store_true", help="only install, fetch and build what the suites need; runs no test"
    )
    parser.add_argument("--idle", action="store_true", help="with --prepare: use only what the machine has to spare")
    arguments = parser.parse_args()
    unknown = set(arguments.suites) - {"lint", *names}
    if unknown:
        raise UserError(f"there is no suite {', '.join(sorted(unknown))}: choose from lint, {', '.join(names)}.")
    chosen = set(arguments.suites) or {"lint", *names}
    suites = [suite for suite in SUITES if chosen & set(suite.folders)]
    if arguments.prepare:
        return _prepare_all(suites, idle=arguments.idle)
    started = time.monotonic()
    parts = len(suites) + len(chosen & {"lint", REHEARSAL})
    with _ahead(suites) if suites and parts > 1 else nullcontext(lambda: None) as ready:
        problems, total = _play(arguments, chosen, suites, ready)
    say(f"==> everything took {(time.monotonic() - started) / 60:.1f} min")
    if arguments.coverage:
        say("\n".join(linecover.report().lines()))
    for problem in problems:
        say(f"error: {problem}")
    print(f"{total.passed} passed, {total.failed} failed, {total.skipped} skipped", flush=True)
    return 1 if problems else 0


def _play(
    arguments: argparse.Namespace, chosen: set[str], suites: Sequence[Suite], ready: Callable[[], None]
) -> tuple[list[str], Count]:
    """Every chosen suite in turn: what is wrong, and the numbers of all; ready waits for what the cluster needs."""
    problems: list[str] = []
    if "lint" in chosen:
        problems += _command("lint", "harness.cli.lint")
    rehearse = REHEARSAL in chosen and not arguments.expression
    if rehearse:
        problems += _command(REHEARSAL, "harness.cli.rehearse", "--short")
    total = Count()
    for suite in suites:
        folders = [folder for folder in suite.folders if folder in chosen]
        measuring = linecover.begin(" ".join(folders)) if arguments.coverage else {}
        if suite.needs_cluster:
            ready()
        only = rehearsed.left() if rehearse and folders == ["unit", "render"] and not arguments.coverage else None
        if only is not None:
            total.passed += (there := _count(rehearsed.REPORT).passed)
            say(f"\n==> {there} tests of {suite.name} passed in the rehearsal; here the {len(only)} that it skipped")
            if not only:
                continue
            for lab in (each for each in suites if "nfs" in each.folders):
                _prepare(lab)  # some tests are skipped only where the programs for its machines are not there yet
        count, found = _run(suite, folders, arguments.expression, measuring, only)
        total.add(count)
        problems += found
    if arguments.expression and not total.passed + total.failed + total.skipped:
        problems.append(f"no test matches -k {arguments.expression}: look for its name with pytest --collect-only -q.")
    return problems, total


def _ahead(suites: Sequence[Suite]) -> AbstractContextManager[Callable[[], None]]:
    """What these suites need is made beside the first ones; a suite that needs what failed there makes it again."""
    if not system.root_is_to_be_had(asked=False):
        return nullcontext(lambda: None)
    names = [folder for suite in suites for folder in suite.folders]
    argv = [sys.executable, "-m", "harness.cli.test", "--prepare", "--idle", *names]
    return beside(argv, REPORTS / "prepare.log", "what later suites need is made")


def _prepare_all(suites: Sequence[Suite], *, idle: bool) -> int:
    on_cluster = any(suite.needs_cluster for suite in suites)
    if idle:
        if on_cluster:
            start_engine()  # before: it and every node would inherit the priority
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    for suite in suites:
        _prepare(suite)
    if on_cluster:
        prepare()
    return 0


def _command(name: str, module: str, *arguments: str) -> list[str]:
    """A suite that is a command of its own."""
    say(f"\n==> suite {name}")
    log = REPORTS / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    if not shell.stream([sys.executable, "-m", module, *arguments], log=log):
        return []
    return ["\n  ".join([f"suite {name} failed. The end of {log.relative_to(REPO)}:", *_end(log)])]


def _end(log: Path) -> list[str]:
    """The last lines of a log, as hours may lie between them and the end of the run."""
    return log.read_text(errors="replace").splitlines()[-LAST:]


def _run(
    suite: Suite,
    folders: list[str],
    expression: str | None,
    variables: Mapping[str, str],
    only: Sequence[str] | None = None,
) -> tuple[Count, list[str]]:
    """Play a suite, or only some of its tests: its numbers and what is wrong."""
    say(f"\n==> suite {suite.name}")
    _prepare(suite)
    report = REPORTS / rehearsed.junit(suite.name)
    report.parent.mkdir(parents=True, exist_ok=True)
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", *(only or (f"tests/{folder}" for folder in folders))]
    command += [f"--junitxml={report}", f"--override-ini=junit_suite_name={rehearsed.python()}"]
    command += ["-q", "--durations=5", f"--timeout={suite.patience}"]
    command += suite.options
    if suite.workers:
        command += ["-n", str(suite.workers), "--dist", suite.share]
    if expression:
        command += ["-k", expression]
    env = {**variables, **bytecode(), "STAN_FT_BUILD": toolchain.NEVER}
    if not suite.needs_cluster:
        command += ["-p", "no:helm-charts"]  # its import of the whole API client takes a second per process
    if suite.needs_cluster:
        cluster = _cluster()
        # Tests and plug-ins that call kubectl or helm by name get the pinned ones and this cluster.
        tools = [str(toolchain.ensure(tool).parent) for tool in ("kubectl", "helm")]
        env["PATH"] = os.pathsep.join([*tools, os.environ["PATH"]])
        command += [f"--kubeconfig={cluster.kubeconfig}", "-v"]
    with room(suite.room) as temporary:
        code = shell.stream(command, env={**env, **temporary}, cwd=REPO)
    count = _count(report)
    for reason, number in count.reasons.items():
        say(f"    {number} skipped: {reason}")
    return count, judge(suite, count, code, by_name=bool(expression))


@contextmanager
def room(wanted: int) -> Iterator[dict[str, str]]:
    """The variables that give a suite that many bytes for its files: none, or TMPDIR elsewhere for a small /tmp.

    Root's tests have processes of other users, who do not get into root's home, where the cache is.
    """
    usual = Path(tempfile.gettempdir())
    if shutil.disk_usage(usual).free >= wanted:
        yield {}
        return
    fits = not os.geteuid() and _OPEN.is_dir() and shutil.disk_usage(_OPEN).free >= wanted
    place = _OPEN if fits else cache()
    say(f"    {usual} has less than {wanted >> 30} GiB free: temporary files go into {place}, and away at the end")
    with tempfile.TemporaryDirectory(prefix="tmp-", dir=place, ignore_cleanup_errors=True) as directory:
        Path(directory).chmod(0o711)
        yield {"TMPDIR": directory}


def judge(suite: Suite, count: Count, code: int, *, by_name: bool = False) -> list[str]:
    """What is wrong with a suite's outcome: failures, nothing run, or a test skipped that must run.

    code is pytest's exit code; by_name: the user chose tests by name, so there may be few or none.
    """
    # pytest ends with 5 when no test was selected.
    if code not in (0, 5):
        return ["\n  ".join([f"suite {suite.name}: {count.failed} failed (exit code {code})", *count.broken[:LAST]])]
    if by_name:
        return []
    if count.skipped and MUST_RUN & set(suite.folders):
        return [f"suite {suite.name}: {count.skipped} skipped, and none may be"]
    if unnamed := [reason for reason in count.reasons if not any(re.search(known, reason) for known in MAY_SKIP)]:
        return [f"suite {suite.name}: skipped for a reason that is not on the list: {each}" for each in unnamed]
    if not count.passed and not count.skipped:
        return [f"suite {suite.name}: no test ran"]
    return []


def _prepare(suite: Suite) -> None:
    """Install and build what the suite needs, with progress, so that no test pays for it."""
    if suite.packages:
        system.ensure_packages(dict(suite.packages), f"the suite {suite.name}", services=False)
    toolchain.ensure_all(suite.tools)
    for module, path in suite.sources:
        toolchain.module_source(module, path)
    if "nfs" in suite.folders:
        if reason := packages.unfit():
            say(f"    not played here: {reason}")
        elif shell.stream([sys.executable, "-m", "harness.cli.nfs_lab", "--prepare"]):
            raise UserError("the NFS lab's machines could not be made (see above).")


def _cluster() -> Cluster:
    return up().cluster


def _count(report: Path) -> Count:
    if not report.exists():
        return Count()
    count = Count()
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314 (written by the run just before)
        failure = next((found for found in (case.find("failure"), case.find("error")) if found is not None), None)
        if failure is not None:
            count.failed += 1
            why = _message(failure).splitlines()[0]
            count.broken.append(f"{case.get('classname', '')}.{case.get('name', '')}: {why}")
        elif (skipped := case.find("skipped")) is not None:
            count.skipped += 1
            count.reasons[_message(skipped)] += 1
        else:
            count.passed += 1
    return count


def _message(found: ElementTree.Element) -> str:
    return found.get("message") or "no reason given"


if __name__ == "__main__":
    common.run(main)
