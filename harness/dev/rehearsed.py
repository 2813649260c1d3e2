"""What of the tests a rehearsal has played already, so that only the rest has to be played on this machine."""

from __future__ import annotations

import platform
from xml.etree import ElementTree

from harness.ground.paths import REPO
from stanft.ground import shell

REPORT = REPO / "build" / "test" / "rehearsed.xml"


def python() -> str:
    """The Python that plays tests here, as "Python 3.13": the name of the suite in each JUnit file."""
    return "Python " + ".".join(platform.python_version_tuple()[:2])


def junit(suite: str) -> str:
    """The name of a suite's JUnit file, here and in a rehearsal."""
    return f"{suite.replace(' ', '-')}.xml"


def left() -> list[str] | None:
    """The tests that a rehearsal skipped, as pytest takes them; None if all of them have to be played here.

    That is so without a report, after a failure, where Python is another one, and where files differ from what is
    committed, which is all that a rehearsal has.
    """
    if not REPORT.exists():
        return None
    changes = shell.run(["git", "status", "--porcelain"], cwd=REPO, check=False)
    if changes.returncode or changes.stdout.strip():
        return None
    root = ElementTree.parse(REPORT).getroot()  # noqa: S314 (pytest wrote it a moment ago)
    suite = root.find("testsuite")
    broken = [*root.iter("failure"), *root.iter("error")]
    if suite is None or suite.get("name") != python() or broken:
        return None
    cases = [case for case in root.iter("testcase") if case.find("skipped") is not None]
    return [f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}" for case in cases]
