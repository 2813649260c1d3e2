"""The documents: every link leads somewhere, every page is in the index, every command that they name exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.ground.paths import REPO
from stanft.cli import main

PAGES = sorted([*REPO.glob("*.md"), *REPO.glob("docs/**/*.md"), *REPO.glob("charts/*/README.md")])
IDS = [str(page.relative_to(REPO)) for page in PAGES]


def anchors(page: Path) -> set[str]:
    """The names of a page's sections as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_link_leads_to_a_file_and_a_section_that_are_there(page: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_page_is_in_the_index() -> None:
    index = (REPO / "docs" / "README.md").read_text()
    pages = {page.name for page in (REPO / "docs").glob("*.md")} - {"README.md"}
    assert {name for name in pages if f"({name})" not in index} == set()


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_command_that_is_named_exists(page: Path) -> None:
    text = page.read_text()
    blocks = "\n".join(re.findall(r"```(?:sh|console)?\n(.*?)```", text, re.DOTALL)) + "\n".join(
        re.findall(r"`([^`\n]+)`", text)
    )
    named = set(re.findall(r"(?:^|[\s(])stan-ft ([a-z][a-z-]*)(?=[\s)]|$)", blocks, re.MULTILINE))
    assert named - set(main.COMMANDS) == set()
    scripts = set(re.findall(r"\bscripts/([\w-]+)", text)) - {"lib"}
    assert {name for name in scripts if not (REPO / "scripts" / name).exists()} == set()
