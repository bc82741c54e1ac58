"""junit.xml: built by junit-xml, then shaped so that both common schemas accept it (Jenkins' and Ant's).

A suite is a backend and a stack (``cpu/current``); a case's classname is the model type, exactly as its JSON has
it, and its name the API. The canaries of a shard are a suite of their own. What a cell's outcome is in JUnit's words:

- failure: ``failed``, ``mismatch``, ``unsupported``: the model was tried there, and does not work.
- error: ``crashed``, ``timeout``, ``out-of-memory``, ``environment``, ``missing-dependency``, ``missing``: no verdict
  on its numbers could be had. A package that our stack lacks is our fault and never a skip.
- skipped, with the reason: ``not-applicable``, ``not-selected``, ``no-device`` (only where that was allowed).
"""

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from junit_xml import TestCase, TestSuite

from harness.records import Canary, Cell, Environment, Failure, Outcome
from harness.results import RESULTS_FILE, read_results, write_atomically
from harness.text import bounded, clean, first_line
from harness.weights import note

JUNIT_FILE: Final = "junit.xml"
Verdict = Literal["passed", "failure", "error", "skipped"]
VERDICTS: Final[Mapping[Outcome, Verdict]] = {
    "passed": "passed",
    "failed": "failure",
    "mismatch": "failure",
    "unsupported": "failure",
    "crashed": "error",
    "timeout": "error",
    "out-of-memory": "error",
    "environment": "error",
    "missing-dependency": "error",
    "missing": "error",
    "not-applicable": "skipped",
    "not-selected": "skipped",
    "no-device": "skipped",
}
_MESSAGE_LIMIT: Final = 500
_LOG_LIMIT: Final = 16_384
_NOT_IN_XML: Final = dict.fromkeys((0xFFFE, 0xFFFF), "\ufffd")


@dataclass(frozen=True)
class Case:
    """A test case. A verdict other than ``passed`` has a message."""

    classname: str
    name: str
    seconds: float
    verdict: Verdict = "passed"
    type: str = ""
    """JUnit's type of a failure, error or skip: our outcome."""
    message: str = ""
    text: str = ""


@dataclass(frozen=True)
class Suite:
    """A test suite; ``started_at`` is ISO 8601."""

    name: str
    cases: Sequence[Case]
    started_at: str
    properties: Mapping[str, str] = field(default_factory=dict)


def write_shard(folder: Path) -> None:
    """Write ``folder``/junit.xml from its results.jsonl: what was measured, not yet judged."""
    found = read_results(folder / RESULTS_FILE)
    header = found.header
    if header is None:
        return
    name = f"{header.shard.backend}/{header.shard.stack}"
    properties = {"shard": header.shard.id, "plan": header.plan_digest, "selection": header.selection}
    properties |= {"note": note(header.scale, header.weights), **environment_properties(header.environment)}
    if found.void:
        properties["void"] = found.void
    suites = (
        Suite(name, [case_of_cell(cell) for cell in found.cells], header.started_at, properties),
        canary_suite(f"{name} canaries", header.shard.id, found.canaries, header.started_at),
    )
    write(folder / JUNIT_FILE, suites)


def write(path: Path, suites: Sequence[Suite]) -> None:
    """Write the suites to ``path``, whole or not at all."""
    write_atomically(path, to_xml(suites))


def case_of_cell(cell: Cell) -> Case:
    """The cell as a test case: its outcome in JUnit's words, and all that explains it in the text."""
    return Case(
        classname=cell.model_type,
        name=cell.api,
        seconds=cell.seconds,
        verdict=VERDICTS[cell.outcome],
        type=cell.outcome,
        message=cell.reason or cell.outcome,
        text=explain(cell.failure, stage=cell.stage, reproduce=cell.reproduce),
    )


def explain(failure: Failure | None, *, stage: str, reproduce: str) -> str:
    """What people want to read of a cell that did not pass."""
    lines = [f"stage: {stage}"]
    if failure is not None:
        lines += [f"{failure.error_class}: {failure.message}"]
        lines += [f"at: {failure.frame}"] if failure.frame else []
        lines += [f"category: {failure.category}", f"hint: {failure.hint}", f"signature: {failure.signature}"]
    lines.append(f"reproduce: {reproduce}")
    if failure is not None:
        lines += ["", bounded(failure.traceback, _LOG_LIMIT)] if failure.traceback else []
        lines += ["", "log:", bounded(failure.log, _LOG_LIMIT)] if failure.log else []
    return "\n".join(lines)


def canary_suite(name: str, shard: str, canaries: Sequence[Canary], started_at: str) -> Suite:
    """Canaries as a suite: one that was seen for what it is has passed."""
    cases = [
        Case(
            classname=shard,
            name=canary.name,
            seconds=canary.seconds,
            verdict="passed" if canary.caught else "failure",
            type="canary",
            message=f"expected {canary.expected}, and was seen as {canary.observed}: the run is void",
            text=canary.reason,
        )
        for canary in canaries
    ]
    return Suite(name, cases, started_at)


def environment_properties(environment: Environment) -> dict[str, str]:
    """An environment as properties; packages as ``package.NAME``."""
    told = environment.model_dump(mode="json", exclude={"packages"}, exclude_none=True)
    properties = {key: str(value) for key, value in told.items()}
    return properties | {f"package.{name}": version for name, version in environment.packages.items()}


def to_xml(suites: Sequence[Suite]) -> str:
    """The document, with an XML declaration; text that XML cannot hold is replaced, and cut where it is long."""
    root = ET.Element("testsuites")
    for number, suite in enumerate(suites):
        built = TestSuite(
            _safe(suite.name),
            [_case(case) for case in suite.cases],
            hostname="localhost",  # Ant's schema wants one; which machine it was stands in the properties
            id=str(number),
            package=_safe(suite.name),
            timestamp=suite.started_at[:19],  # the schema's pattern has no zone: it is UTC
            properties={_safe(key): _safe(value) for key, value in suite.properties.items()},
        )
        root.append(_shaped(built.build_xml_doc()))
    ET.indent(root)
    written: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return written.decode() + "\n"


def _case(case: Case) -> TestCase:
    built = TestCase(_safe(case.name), classname=_safe(case.classname), elapsed_sec=case.seconds)
    message = _safe(first_line(case.message, _MESSAGE_LIMIT)) or case.verdict
    text = _safe(bounded(case.text, 3 * _LOG_LIMIT))
    match case.verdict:
        case "failure":
            built.add_failure_info(message, text, _safe(case.type))
        case "error":
            built.add_error_info(message, text, _safe(case.type))
        case "skipped":
            built.add_skipped_info(message, text)
        case "passed":
            pass
    return built


def _shaped(suite: ET.Element) -> ET.Element:
    """The suite as the schemas want it, where junit-xml differs: no ``disabled``, plain times, all parts there."""
    suite.attrib.pop("disabled", None)
    suite.set("time", f"{float(suite.get('time', '0')):.3f}")
    for case in suite.iter("testcase"):
        case.set("time", f"{float(case.get('time', '0')):.3f}")  # junit-xml leaves out a time of 0
    if suite.find("properties") is None:
        suite.insert(0, ET.Element("properties"))
    for name in ("system-out", "system-err"):
        ET.SubElement(suite, name)
    return suite


def _safe(text: str) -> str:
    """Text that XML 1.0 can hold; ``]]>`` and markup are escaped by the writer."""
    return clean(text).translate(_NOT_IN_XML)
