"""The report of a drill: one page that needs no other file, with the figures of the data, and JUnit that CI reads."""

from __future__ import annotations

import copy
import json
import math
import re
import shutil
import struct
import subprocess
import xml.etree.ElementTree as ET
import zlib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from commands import exit_code

from harness.ground.paths import REPO
from stanft import report
from stanft.cli import report as cli
from stanft.ground.errors import UserError
from stanft.report import svg
from stanft.traffic.ledger import FATAL, NOTED


def run(number: int, outage: float, **changes: Any) -> dict[str, Any]:
    """One run as a drill keeps it."""
    finding = {"count": 0, "examples": []}
    return {
        "number": number,
        "victims": ["stan-0"],
        "notes": [],
        "outage": outage,
        "gaps": [[0.01, outage]],
        "total_gap": outage,
        "recovered": True,
        "takeovers": 1,
        "two_actives": [],
        "claims": [],
        "without_active": outage,
        "reigns": [],
        "timeline": {
            "last_ack": 0.01,
            "fault": 0.0,
            "lock": outage - 0.1,
            "ready": outage - 0.04,
            "first_ack": outage + 0.01,
            "delivery": outage + 0.02,
        },
        "healed": outage,
        "whole_again": 6.0,
        "rates": {"before": 1200.0, "during": 300.0, "after": 1190.0},
        "latency": {
            "before": {"p50": 0.002, "p99": 0.012, "max": 0.02},
            "after": {"p50": 0.002, "p99": 0.013, "max": 1},
        },
        "course": [120] * 20 + [0] * int(outage * 10) + [120] * (150 - int(outage * 10)),
        "restarts": {},
        "load": 1.5,
        "store": {"messages": 1000, "bytes": 128000},
        "verdict": {
            "attempted": 8000,
            "acknowledged": 7654,
            "not_stored": 200,
            "refused": 0,
            "unknown": 146,
            "delivered": 7654,
            "findings": {kind: dict(finding) for kind in (*FATAL, *NOTED)},
            "lost_where": {},
            "void": "",
            "sentence": "7654 acknowledged of 8000 sent, 7654 delivered: nothing lost, duplicated or out of order",
        },
        "problems": [],
        **changes,
    }


def drill(label: str = "our chart", outages: tuple[float, ...] = (0.5, 0.7, 1.1)) -> dict[str, Any]:
    """A drill of one fault."""
    return {
        "format": 1,
        "label": label,
        "started": "2026-11-23T13:00:00+00:00",
        "environment": {"kubernetes": "v1.34.4", "measured from": "a machine"},
        "traffic": {"publishers": 2, "rate": 600, "size": 128, "subscribers": 1, "minimum_rate": 500, "probe": 0.025},
        "client": {"reconnect_wait": 0.05, "connect_timeout": 1.0},
        "series": [
            {
                "fault": "kill",
                "sentence": "SIGKILL of the active server",
                "goal": {"median": 0.9, "p99": 1.5, "worst": None},
                "takeovers": [1, 1],
                "sum_gaps": False,
                "skipped": [],
                "runs": [run(number, outage) for number, outage in enumerate(outages, 1)],
            }
        ],
    }


def lossy() -> dict[str, Any]:
    """A drill in which one run lost a message and saw two actives."""
    data = drill()
    bad = data["series"][0]["runs"][1]
    bad["verdict"]["findings"]["lost"] = {"count": 3, "examples": ["a"]}
    bad["two_actives"] = [["stan-0", "stan-1", 2.0]]
    bad["problems"] = ["3 lost (acknowledged, never delivered)", "two actives at once: stan-0 and stan-1"]
    return data


class Outside(HTMLParser):
    """Collects what a page would load from elsewhere, and its elements."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the element and its references."""
        self.tags.append(tag)
        self.found += [f"{name}={value}" for name, value in attrs if name in ("src", "href", "data", "srcset")]


def test_the_page_loads_nothing_from_elsewhere_and_runs_no_script() -> None:
    page = report.page([drill()])
    seen = Outside()
    seen.feed(page)
    assert seen.found == []
    assert "script" not in seen.tags
    assert "link" not in seen.tags
    assert not re.search(r"@import|url\(", page)


def test_the_page_shows_one_dot_per_run_and_a_timeline_and_a_course_per_fault() -> None:
    page = report.page([drill(outages=(0.5, 0.7, 1.1))])
    assert len(re.findall(r"kill, run \d+: \d\.\d+ s", page)) == 3
    assert page.count("<svg") == 3
    assert "lock taken +0.600 s" in page, "the run with the median outage is drawn"


def test_every_picture_is_well_formed_and_has_a_title() -> None:
    page = report.page([drill()])
    for picture in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        root = ET.fromstring(picture)
        assert root.find("{http://www.w3.org/2000/svg}title") is not None


def test_nothing_is_drawn_outside_of_its_picture() -> None:
    for picture in re.findall(r"<svg.*?</svg>", report.page([drill(outages=(0.02, 0.7, 95.0))]), re.DOTALL):
        root = ET.fromstring(picture)
        _, _, width, height = (float(word) for word in root.attrib["viewBox"].split())
        for element in root.iter():
            for name, limit in (
                ("x", width),
                ("x1", width),
                ("x2", width),
                ("cx", width),
                ("y", height),
                ("cy", height),
            ):
                if name in element.attrib:
                    assert 0 <= float(element.attrib[name]) <= limit, ET.tostring(element)


def test_figures_and_the_parts_of_the_time_are_those_of_the_runs() -> None:
    [row] = report.rows([drill(outages=(0.5, 0.7, 1.1))])
    assert (row.n, row.median, row.p99, row.longest) == (3, 0.7, 1.1, 1.1)
    assert row.detection == pytest.approx(0.6)
    assert row.recovery == pytest.approx(0.06)
    assert row.client == pytest.approx(0.05)
    assert row.missed == ()


def test_a_loss_and_two_actives_are_told_on_the_page_and_in_the_table() -> None:
    page = report.page([lossy()])
    assert '<b class="bad">3</b>of them lost' in page
    assert "What went wrong" in page
    [row] = report.rows([lossy()])
    assert (row.lost, row.two_actives, row.failed) == (3, 1, 1)


def test_a_missed_goal_is_marked_as_missed_and_a_kept_one_as_met() -> None:
    assert '<span class="good">met</span>' in report.page([drill()])
    assert '<span class="bad">missed</span>' in report.page([drill(outages=(0.5, 0.7, 1.6))])


def test_recovery_is_drawn_against_the_store_with_the_line_through_the_runs() -> None:
    data = drill(outages=(0.5, 0.7, 1.1))
    for number, taken in enumerate(data["series"][0]["runs"]):
        taken["store"]["bytes"] = number * 500_000_000
        taken["timeline"]["ready"] = taken["timeline"]["lock"] + 0.1 + number * 0.2
    page = report.page([data])
    assert "0.10 s + 0.40 s per 1000 MB" in page
    assert page.count("<svg") == 4


def test_no_line_is_drawn_through_stores_of_one_size() -> None:
    assert report.growth([drill()]) == []


def test_recovery_is_drawn_against_the_channels_of_small_stores_only() -> None:
    data = drill(outages=(0.5, 0.7, 1.1))
    for number, taken in enumerate(data["series"][0]["runs"]):
        taken["store"] = {"bytes": number * 90_000_000, "messages": 10, "channels": 1 + number * 500}
        taken["timeline"]["ready"] = taken["timeline"]["lock"] + 0.1 + number * 0.2
    [line] = report.growth([data])
    assert (line.unit, [size for size, _ in line.points]) == ("channels", [1, 501])
    assert line.slope == pytest.approx(0.2 / 500)


def test_several_drills_stand_side_by_side_fault_by_fault() -> None:
    first, second = drill("our chart"), drill("the recipe", (0.9, 61.0))
    extra = copy.deepcopy(first["series"][0])
    extra["fault"] = "delete"
    first["series"].append(extra)
    assert [(row.fault, row.label) for row in report.rows([first, second])] == [
        ("kill", "our chart"),
        ("kill", "the recipe"),
        ("delete", "our chart"),
    ]
    page = report.page([first, second])
    assert "kill (the recipe)" in page
    assert "61.00 s" in page


def test_words_from_the_data_cannot_become_markup() -> None:
    data = drill("<script>alert(1)</script>")
    page = report.page([data, drill("b")])
    assert "<script" not in page


def test_junit_has_one_case_per_run_and_names_what_failed() -> None:
    root = ET.fromstring(report.junit([lossy()]))
    [suite] = root.findall("testsuite")
    assert (suite.get("tests"), suite.get("failures")) == ("3", "1")
    [failure] = root.iter("failure")
    assert failure.get("message", "").startswith("3 lost")
    assert "two actives" in (failure.text or "")


def test_a_bound_fails_the_runs_above_it_only() -> None:
    found = report.failures(drill(outages=(0.5, 0.7, 1.1)), report.Bounds(most=1.0))
    assert found == ["kill run 3: 1.10 s without an acknowledgement, where 1 s are allowed"]


def test_goals_fail_a_drill_only_where_that_is_asked_for() -> None:
    slow = drill(outages=(2.0, 2.0))
    assert report.failures(slow, report.Bounds()) == []
    assert len(report.failures(slow, report.Bounds(goals=True))) == 2


def test_an_outage_that_is_off_the_scale_gets_a_scale_of_its_own() -> None:
    picture = svg.dots([("kill", 0, [450.0], 1.5)])
    assert ">500 s<" in picture


@pytest.mark.parametrize("text", ["not json", "[]", '{"format": 99}', '{"format": 1}'])
def test_a_file_that_is_no_drills_is_refused_by_name(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "other.json"
    file.write_text(text)
    assert exit_code(cli.main, str(file)) == 2
    assert str(file) in capsys.readouterr().err


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(UserError, match="stan-ft drill --json"):
        report.known({"format": 2, "series": []}, "x")


def pixels(png: bytes) -> tuple[int, int, list[bytes]]:
    """Width, height and the rows of a PNG with 8 bits per channel (RFC 2083), as RGB bytes."""
    assert png.startswith(b"\x89PNG")
    width, height, depth, colour = struct.unpack(">IIBB", png[16:26])
    channels = {2: 3, 6: 4}[colour]
    assert depth == 8
    packed, at = b"", 8
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        packed += png[at + 8 : at + 8 + length] if kind == b"IDAT" else b""
        at += 12 + length
    raw, stride = zlib.decompress(packed), width * channels
    rows, above = [], bytearray(stride)
    for number in range(height):
        line = number * (stride + 1)
        row = bytearray(raw[line + 1 : line + 1 + stride])
        unfilter(raw[line], row, above, channels)
        rows.append(bytes(row) if channels == 3 else bytes(byte for place, byte in enumerate(row) if place % 4 != 3))
        above = row
    return width, height, rows


def unfilter(kind: int, row: bytearray, above: bytearray, step: int) -> None:
    """Undo a PNG filter in place."""
    for place in range(len(row)):
        left = row[place - step] if place >= step else 0
        corner = above[place - step] if place >= step else 0
        up = above[place]
        if kind == 4:
            guess = left + up - corner
            near = min((left, up, corner), key=lambda value: abs(guess - value))
        else:
            near = (0, left, up, (left + up) // 2)[kind]
        row[place] = (row[place] + near) & 255


def test_a_real_browser_draws_the_page_with_its_dots_and_nothing_runs_out_of_it(tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium), so the page cannot be looked at")
    page = tmp_path / "drill.html"
    page.write_text(report.page([drill("our chart"), drill("the recipe", (0.9, 61.0))]))
    picture = tmp_path / "drill.png"
    subprocess.run(
        [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
            f"--user-data-dir={tmp_path}/profile", "--window-size=900,1100", f"--screenshot={picture}", page.as_uri(),
        ],
        check=True, capture_output=True, timeout=100,
    )  # fmt: skip
    width, height, rows = pixels(picture.read_bytes())
    assert (width, height) == (900, 1100)
    seen = {row[place : place + 3] for row in rows for place in range(0, len(row), 3)}
    for colour in svg.COLOURS[:2]:
        wanted = bytes.fromhex(colour[1:])
        # Dots are half transparent and lie on each other: look for the hue, mixed with the paper.
        assert any(close(pixel, wanted) for pixel in seen), f"no dot of {colour} was drawn"
    paper = rows[0][:3]
    assert all(row[:15] == paper * 5 and row[-15:] == paper * 5 for row in rows), "something touches the page's edge"


def close(pixel: bytes, wanted: bytes) -> bool:
    """Whether a pixel is about the colour at the opacity of a dot, on white paper."""
    mixed = [0.55 * colour + 0.45 * 255 for colour in wanted]
    return all(abs(one - other) <= 6 for one, other in zip(pixel, mixed, strict=True))


def test_the_command_writes_page_and_junit_and_prints_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "drill.json"
    source.write_text(json.dumps(drill()))
    page, junit = tmp_path / "out.html", tmp_path / "out.xml"
    assert cli.main([str(source), "--html", str(page), "--junit", str(junit), "--title", "A & B"]) == 0
    assert "<h1>A &amp; B</h1>" in page.read_text()
    assert ET.parse(junit).getroot().tag == "testsuites"
    assert "0.70 s" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("series",), None, "series is None and no list"),
        (("label",), None, "label is None and no str"),
        (("series", 0, "runs", 0), None, "series[0].runs[0] is None and no dict"),
        (("series", 0, "runs", 0, "verdict"), {}, "series[0].runs[0].verdict has no 'void'"),
        (("series", 0, "runs", 0, "outage"), "1", "series[0].runs[0].outage is '1' and no number from 0 on"),
        (("series", 0, "runs", 0, "outage"), math.nan, "series[0].runs[0].outage is nan and no number from 0 on"),
        (("series", 0, "runs", 0, "outage"), -1.0, "series[0].runs[0].outage is -1.0 and no number from 0 on"),
        (("series", 0, "runs", 0, "load"), True, "series[0].runs[0].load is True and no number from 0 on"),
        (("series", 0, "runs", 0, "gaps"), [["x"]], "series[0].runs[0].gaps[0][0] is 'x' and no number"),
        (("series", 0, "runs", 0, "timeline"), {"fault": 0}, "series[0].runs[0].timeline has no 'last_ack'"),
        (("traffic",), {}, "traffic has no 'publishers'"),
    ],
)
def test_a_file_that_is_not_as_a_drill_wrote_it_is_refused_with_the_place(
    place: tuple[Any, ...], value: object, words: str
) -> None:
    data = json.loads((REPO / "docs" / "reports" / "failover" / "soak.json").read_text())
    assert report.known(data, "a.json") is data
    inner = data
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    with pytest.raises(UserError, match=re.escape(f"a.json is not as a drill wrote it: {words}. Make it again")):
        report.known(data, "a.json")


def test_a_file_that_is_nested_without_an_end_is_no_drills(tmp_path: Path) -> None:
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match="is not JSON"):
        cli.read(tmp_path / "deep.json")
