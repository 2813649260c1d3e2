"""A check's outcome as a table for people, as JSON for programs, and as JUnit for CI."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

from stanft.invariants import Finding, Outcome, Severity, State

_WIDTH = 110


def violated(outcomes: Sequence[Outcome], strict: bool) -> bool:
    """Whether the check fails: an error was found, or with strict also a warning."""
    failing = {Severity.ERROR, Severity.WARNING} if strict else {Severity.ERROR}
    return any(not each.unseen and each.severity in failing for outcome in outcomes for each in outcome.findings)


@dataclass(frozen=True)
class Scope:
    """What was judged: how many objects and servers, what was left out, and which servers were not read, in words."""

    objects: int
    servers: int
    skipped: Sequence[str] = ()
    unread: Sequence[str] = ()


def verdict(outcomes: Sequence[Outcome], scope: Scope, strict: bool) -> str:
    """violated, no server (nothing was found that could pass), not read (what one is told is elsewhere), or passed."""
    if violated(outcomes, strict):
        return "violated"
    if not scope.servers:
        return "no server"
    return "not read" if scope.unread else "passed"


def table(outcomes: Sequence[Outcome], scope: Scope, strict: bool) -> str:
    """Findings by severity with their remedies, what was left out, one line of totals, and the verdict."""
    lines: list[str] = []
    found = [each for outcome in outcomes for each in outcome.findings]
    for title, chosen in (
        *(
            (str(severity), [each for each in found if each.severity is severity and not each.unseen])
            for severity in Severity
        ),
        ("not seen", [each for each in found if each.unseen]),
    ):
        lines.extend(_section(title, chosen))
    for each in scope.skipped:
        lines.extend(_wrapped(f"left out  {each}", ""))
    lines += [""] if scope.skipped else []
    states = Counter(outcome.state for outcome in outcomes)
    worst = Counter(each.severity for each in found if not each.unseen)
    lines.append(
        f"{len(outcomes)} invariants over {scope.objects} objects: "
        + ", ".join(f"{states[state]} {_STATES[state]}" for state in State if states[state])
        + f" ({', '.join(f'{worst[severity]} {_plural(severity, worst[severity])}' for severity in Severity)})."
    )
    lines.append(f"Verdict: {_VERDICTS[verdict(outcomes, scope, strict)]}")
    return "\n".join(lines) + "\n"


_VERDICTS = {
    "violated": "violated.",
    "no server": "not passed: no NATS Streaming server was found among these objects, so nothing could pass.",
    "not read": "not passed: what a server is told could not be read, so most of it could not be judged.",
    "passed": "passed.",
}
_STATES = {
    State.HOLDS: "hold",
    State.VIOLATED: "violated",
    State.UNSEEN: "not seen in full",
    State.NOT_APPLICABLE: "do not apply",
}


def _plural(severity: Severity, count: int) -> str:
    return str(severity) if count == 1 or severity is Severity.ADVICE else f"{severity}s"


def _section(title: str, findings: Sequence[Finding]) -> list[str]:
    lines: list[str] = []
    for name in dict.fromkeys(each.invariant for each in findings):
        same = [each for each in findings if each.invariant == name]
        lines.append(f"{title:8}  {name}")
        for each in same:
            lines.extend(_wrapped(f"{each.where}: {each.problem}", "            "))
        lines.extend(_wrapped(f"remedy: {same[0].remedy}", "            "))
        lines.append("")
    return lines


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=indent, subsequent_indent=f"{indent}  ", break_on_hyphens=False)


def as_json(outcomes: Sequence[Outcome], scope: Scope, strict: bool) -> str:
    """The whole outcome: every invariant with its rule, state and findings."""
    data = {
        "objects": scope.objects,
        "servers": scope.servers,
        "left out": list(scope.skipped),
        "verdict": verdict(outcomes, scope, strict),
        "strict": strict,
        "invariants": [
            {
                "name": outcome.invariant.name,
                "rule": outcome.invariant.sentence,
                "severity": outcome.invariant.severity,
                "state": outcome.state,
                "findings": [
                    {"where": each.where, "problem": each.problem, "remedy": each.remedy, "unseen": each.unseen}
                    for each in outcome.findings
                ],
            }
            for outcome in outcomes
        ],
    }
    return json.dumps(data, indent=2) + "\n"


def junit(outcomes: Sequence[Outcome], scope: Scope, strict: bool) -> str:
    """One test case per invariant: failed, skipped with the reason, or passed."""
    suite = ElementTree.Element("testsuite", name="stan-ft invariants", tests=str(len(outcomes)))
    ElementTree.SubElement(
        ElementTree.SubElement(suite, "properties"), "property", name="objects", value=str(scope.objects)
    )
    failing = {Severity.ERROR, Severity.WARNING} if strict else {Severity.ERROR}
    failures = skipped = 0
    for outcome in outcomes:
        rule = outcome.invariant
        case = ElementTree.SubElement(suite, "testcase", classname=f"invariants.{rule.severity}", name=rule.name)
        said = "\n".join(f"{each.where}: {each.problem}" for each in outcome.findings)
        if outcome.state is State.VIOLATED and rule.severity in failing:
            failures += 1
            ElementTree.SubElement(case, "failure", message=rule.sentence).text = f"{said}\nremedy: {rule.remedy}"
        elif outcome.state is State.VIOLATED:
            ElementTree.SubElement(case, "system-out").text = f"{rule.severity}: {said}\nremedy: {rule.remedy}"
        elif outcome.state is not State.HOLDS:
            skipped += 1
            ElementTree.SubElement(case, "skipped", message=said or "nothing among the objects that it is about")
    said = verdict(outcomes, scope, strict)
    missing = said in ("no server", "not read")
    if missing:
        case = ElementTree.SubElement(suite, "testcase", classname="invariants.error", name="server-found")
        ElementTree.SubElement(case, "error", message=_VERDICTS[said])
        suite.set("tests", str(len(outcomes) + 1))
    suite.set("failures", str(failures))
    suite.set("skipped", str(skipped))
    suite.set("errors", "1" if missing else "0")
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


FORMATS = {"table": table, "json": as_json, "junit": junit}
