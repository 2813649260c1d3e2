"""The rules of docs/design.md: what may import what, what every file says first, and that the picture is the tree."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.ground.paths import REPO

PAGE = (REPO / "docs" / "design.md").read_text()
# A package of stanft, and which others of ours it may import; ground and words are open to all.
STANFT = {
    "ground": set(),
    "words": set(),
    "stan": set(),
    "conf": set(),
    "traffic": {"stan"},
    "store": {"stan"},
    "exit": {"stan", "store"},
    "kube": set(),
    "group": {"kube"},
    "invariants": {"kube", "conf"},
    "faults": {"group", "kube"},
    "drill": {"faults", "group", "kube", "stan", "traffic"},
    "report": {"drill", "traffic"},
}
# The same of harness; what it takes of stanft is in the second set.
HARNESS: dict[str, tuple[set[str], set[str] | None]] = {
    "ground": (set(), {"ground"}),
    "charts": ({"ground"}, {"conf", "ground", "invariants", "kube"}),  # its generator reads the rules on mount options
    "cluster": ({"ground"}, {"ground"}),  # it knows no chart and no group
    "loopback": ({"ground"}, {"conf", "ground", "words"}),
    "nfs_lab": ({"charts", "ground", "loopback"}, None),
    "dev": ({"charts", "ground", "loopback"}, None),
    "local": ({"charts", "cluster", "ground"}, None),
}
WITHOUT_KUBERNETES = ("stan", "conf", "traffic", "store", "ground", "words")


def modules(package: str) -> Iterator[tuple[Path, ast.Module]]:
    """Every hand-written module of a package with its syntax tree."""
    for file in sorted((REPO / package).rglob("*.py")):
        if not file.name.endswith("_pb2.py"):
            yield file, ast.parse(file.read_text())


def imports(tree: ast.Module) -> Iterator[str]:
    """The full names of what a module imports, wherever the import stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def crossing(package: str, forbidden: re.Pattern[str]) -> list[str]:
    """The imports of a package that match, with the file that has them."""
    return [
        f"{file.relative_to(REPO)} imports {name}"
        for file, tree in modules(package)
        for name in imports(tree)
        if forbidden.match(name)
    ]


def test_what_operators_install_imports_nothing_of_the_workshop() -> None:
    assert crossing("stanft", re.compile(r"(harness|tests)\b")) == []


def test_the_workshop_imports_no_test_code() -> None:
    support = "|".join(sorted(file.stem for file in (REPO / "tests" / "support").glob("*.py")))
    assert crossing("harness", re.compile(rf"(tests|{support})\b")) == []


@pytest.mark.parametrize("package", sorted(STANFT))
def test_a_package_goes_through_its_own_doors_only(package: str) -> None:
    allowed = STANFT[package] | {package, "ground", "words"} if package != "ground" else {"ground"}
    rooms = "|".join(sorted(allowed))
    found = crossing(f"stanft/{package}", re.compile(rf"stanft\.(?!(?:{rooms})\b)"))
    if package == "words":
        found = [name for name in imports(ast.parse((REPO / "stanft" / "words.py").read_text())) if "stanft" in name]
    assert found == []


@pytest.mark.parametrize("package", sorted(HARNESS))
def test_a_part_of_the_workshop_goes_through_its_own_doors_only(package: str) -> None:
    own, of_stanft = HARNESS[package]
    rooms = "|".join(sorted(own | {package}))
    found = crossing(f"harness/{package}", re.compile(rf"harness\.(?!(?:{rooms})\b)"))
    if of_stanft is not None:
        found += crossing(f"harness/{package}", re.compile(rf"stanft\.(?!(?:{'|'.join(sorted(of_stanft))})\b)"))
    assert found == []


def test_the_tables_of_doors_name_every_room() -> None:
    assert STANFT.keys() | {"cli"} == {path.stem for path in (REPO / "stanft").iterdir() if path.name[0] not in "_."}
    assert HARNESS.keys() | {"cli"} == {path.stem for path in (REPO / "harness").iterdir() if path.name[0] not in "_."}


@pytest.mark.parametrize("package", [name for name in WITHOUT_KUBERNETES if (REPO / "stanft" / name).is_dir()])
def test_it_can_be_used_where_there_is_no_kubernetes(package: str) -> None:
    names = [
        ".".join(file.relative_to(REPO).with_suffix("").parts).removesuffix(".__init__")
        for file, _ in modules(f"stanft/{package}")
    ]
    loaded = "import sys; print([name for name in sys.modules if name.split('.')[0].startswith('kubernetes')])"
    program = f"import {', '.join(names)}; {loaded}"
    done = subprocess.run([sys.executable, "-c", program], cwd=REPO, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("package", ["stanft", "harness", "tests"])
def test_every_file_says_in_one_sentence_what_it_is_for(package: str) -> None:
    silent = [
        str(file.relative_to(REPO))
        for file, tree in modules(package)
        if not re.match(r"\S.*[.?:]$", (ast.get_docstring(tree) or "").partition("\n")[0])
    ]
    assert silent == []


def test_every_script_says_first_what_it_does() -> None:
    silent = [
        file.name
        for file in sorted((REPO / "scripts").iterdir())
        if file.is_file() and not re.match(r"#!.*\n# \S.*", file.read_text())
    ]
    assert silent == []


def test_every_script_is_thin() -> None:
    """It finds its Python and calls a command; what it does is written in harness/cli or stanft/cli."""
    long = {
        file.name: lines
        for file in sorted((REPO / "scripts").iterdir())
        if file.is_file() and (lines := len(file.read_text().splitlines())) > 25
    }
    assert long == {}


def pictured() -> dict[str, list[str]]:
    """The folders of the picture in docs/design.md: each top folder, and those that are drawn below it."""
    picture = PAGE.partition("```\n")[2].partition("```")[0]
    found: dict[str, list[str]] = {}
    for line in picture.splitlines():
        if inner := re.match(r"  ([\w-]+)/", line):
            found[next(reversed(found))].append(inner[1])
        elif top := re.match(r"([\w-]+)/", line):
            found[top[1]] = []
    return found


def folders(of: Path) -> list[str]:
    """The folders in a folder that hold files under version control."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=of,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    return sorted({path.partition("/")[0] for path in listed if "/" in path and not path.startswith(".")})


def test_the_picture_shows_every_folder_at_the_top() -> None:
    assert sorted(pictured()) == folders(REPO)


@pytest.mark.parametrize("top", ["charts", "stanft", "harness", "cluster", "tests"])
def test_the_picture_shows_every_folder_of_it(top: str) -> None:
    assert sorted(pictured()[top]) == folders(REPO / top)


def test_every_path_that_the_page_names_is_there() -> None:
    named = {path for path in re.findall(r"`((?:[\w.-]+/)+[\w.*-]*)`", PAGE) if not path.startswith("~")}
    assert named
    assert [path for path in sorted(named) if not list(REPO.glob(path.rstrip("/")))] == []
