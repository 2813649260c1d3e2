"""docs/tools.md says what is built for which command, and what comes with a checksum."""

from __future__ import annotations

import json
import re

from harness.cli.test import SUITES
from harness.cluster import images, nodeimage
from harness.ground import toolchain
from harness.ground.paths import REPO

PAGE = (REPO / "docs" / "tools.md").read_text()
FOLDERS = ("charts", "cluster", "local")  # of harness/: what scripts/up runs through


def table() -> dict[str, set[str]]:
    """Program -> the commands that need it, as the page says."""
    rows = re.findall(r"^\| ((?:up|test)(?:, test)?) \| (`.*`) \|", PAGE, re.MULTILINE)
    return {name: set(needed.split(", ")) for needed, names in rows for name in re.findall(r"`([^`]+)`", names)}


def named(*folders: str) -> set[str]:
    """The pinned tools that the Python files of these folders of harness/ ask for by name."""
    files = [file for folder in folders for file in (REPO / "harness" / folder).rglob("*.py")]
    return {name for file in files for name in re.findall(r'toolchain\.ensure\("([^"]+)"\)', file.read_text())}


def test_each_program_that_can_be_built_is_in_the_table_once() -> None:
    assert sorted(table()) == toolchain.names()


def test_scripts_up_builds_what_the_table_says_and_nothing_that_only_tests_need() -> None:
    needed = {*nodeimage._BINARIES, *images.TOOLS, *named(*FOLDERS)}
    assert {name for name, commands in table().items() if "up" in commands} == needed


def test_scripts_test_builds_what_the_table_says() -> None:
    lint = set(re.findall(r'toolchain\.ensure\("([^"]+)"\)', (REPO / "harness" / "cli" / "lint.py").read_text()))
    assert {name for name, commands in table().items() if "test" in commands} == lint | {
        tool for suite in SUITES for tool in suite.tools
    }


def test_the_downloads_with_a_checksum_are_those_that_the_page_calls_downloaded() -> None:
    entries = json.loads((REPO / "cluster" / "downloads.json").read_text())
    pinned = {name for name, entry in entries.items() if entry["sha256"]}
    rows = re.findall(r"^\| (`[^|]*`) \| (downloaded|built)", PAGE, re.MULTILINE)
    told = {name: how for names, how in rows for name in re.findall(r"`([^`]+)`", names)}
    assert told == {name: "downloaded" if name in pinned else "built" for name in entries}
