"""The breaks of Python source: each kind is made, what is told in words is left alone, and what tests miss is told."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from harness.cli import mutate
from harness.dev import pymutation
from harness.dev.pymutants import mutants
from harness.dev.pymutation import PyResult, Target, spread


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("return a < b", {"return None", "(a <= b)"}),
        ("return a < b <= c", {"return None", "(a <= b <= c)", "(a < b < c)"}),
        ("return a and b", {"return None", "((b))", "((a))"}),
        ("return not a", {"return None", "bool(a)"}),
        ("a = b + 1", {"(b - 1)", "2"}),
        ("a = b if c else d", {"(d if c else b)"}),
        ("a = max(b, c)", {"min(b, c)"}),
        ("a = True", {"False"}),
        ("f(a)", {"pass"}),
        ("a += b", {"pass"}),
        ("yield a", {"yield from ()"}),
        ("a = f'{b + 1} of {c}'", set()),
        ("a = 'text' + b", set()),
        ("a: Literal[1] = b", set()),
        ("return 'text'", set()),
    ],
)
def test_each_kind_of_break_is_made_and_what_is_told_in_words_is_left_alone(statement: str, expected: set[str]) -> None:
    source = f"LIMIT = 1\n\n\ndef work(a: int = 3) -> None:\n    {statement}\n"
    found = mutants(source)
    assert {mutant.new for mutant in found} == expected
    for mutant in found:
        ast.parse(mutant.applied(source))
        assert mutant.applied(source) != source
        assert str(mutant).startswith("line 5, work: ")


def test_a_break_is_put_in_its_place_also_behind_letters_of_several_bytes() -> None:
    source = 'def work(a):\n    return "größer", a < 1\n'
    assert 'return "größer", (a <= 1)\n' in [mutant.applied(source).split("    ")[1] for mutant in mutants(source)]


def test_some_of_many_breaks_are_spread_over_the_module() -> None:
    found = mutants("def work(a):\n" + "    f(a)\n" * 10)
    assert [mutant.line for mutant in spread(found, 3)] == [2, 5, 8]
    assert list(spread(found, 20)) == found


def test_a_break_that_no_test_notices_survives_and_one_that_hangs_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    functions = (
        "def checked(a):\n    return a + 1",
        "def unseen(a):\n    return a * 2",
        "def ends():\n    while not True:\n        pass",
    )
    source = "\n\n\n".join(functions) + "\n"
    (tmp_path / "broken_on_purpose.py").write_text(source)
    test = "import broken_on_purpose as it\n\n\ndef test_it():\n    assert it.checked(1) == 2\n    it.ends()\n"
    (tmp_path / "test_broken.py").write_text(test)
    monkeypatch.setattr(pymutation, "REPO", tmp_path)
    monkeypatch.setattr(pymutation, "LIMIT", 20.0)
    target = Target("broken_on_purpose.py", ("test_broken.py",))
    assert target.module == "broken_on_purpose"
    told: list[PyResult] = []
    chosen = [mutant for mutant in pymutation.breaks(target) if mutant.new not in ("2", "3", "return None")]
    pymutation.run(target, [None, *chosen], 3, told.append)
    noticed = {each.mutant.new if each.mutant else "as it is": each.noticed for each in told}
    assert noticed == {"as it is": False, "(a - 1)": True, "(a / 2)": False, "bool(True)": True, "False": True}


def test_every_module_whose_breaks_are_tried_exists_with_its_tests() -> None:
    for target in mutate.TARGETS:
        assert (mutate.REPO / target.file).is_file()
        assert all((mutate.REPO / each).is_file() for each in target.tests)
    verdicts = {
        "stanft/traffic/verdict.py",
        "stanft/traffic/ledger.py",
        "stanft/drill/judge.py",
        "harness/nfs_lab/judge.py",
    }
    assert verdicts <= {target.file for target in mutate.TARGETS}


def test_the_command_lists_the_breaks_of_a_module(capsys: pytest.CaptureFixture[str]) -> None:
    assert mutate.main(["--python", "--list", "--only", "verdict", "--most", "5"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 5
    assert mutate.main(["--python", "--only", "no-such-module"]) == 2
