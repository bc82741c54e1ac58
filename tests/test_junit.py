"""junit.xml: valid for the common schemas and readable by junitparser, whatever is in the texts."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from junitparser import Error, JUnitXml, Skipped
from junitparser import Failure as JUnitFailure
from lxml import etree

import miniatures as mini
from harness.junit import VERDICTS, Case, Suite, to_xml, write_shard
from harness.records import Cell, Outcome

PLAN = mini.plan()
SCHEMA = etree.XMLSchema(etree.parse(Path(__file__).with_name("junit.xsd")))


def valid(xml: str) -> etree._Element:
    """The document's root; fails where a reader would."""
    root = etree.fromstring(xml.encode())
    SCHEMA.assertValid(root)
    JUnitXml.fromstring(xml.encode())
    return root


def of_cell(tmp_path: Path, *cells: Cell) -> etree._Element:
    mini.write(tmp_path, mini.whole(PLAN, None, *cells))
    write_shard(tmp_path)
    return valid((tmp_path / "junit.xml").read_text(encoding="utf-8"))


def test_a_suite_is_a_backend_and_stack_and_a_case_a_type_and_api(tmp_path: Path) -> None:
    root = of_cell(tmp_path)
    cells, canaries = root.findall("testsuite")
    assert (cells.get("name"), canaries.get("name")) == ("cpu/current", "cpu/current canaries")
    assert [(case.get("classname"), case.get("name")) for case in cells.findall("testcase")] == [
        (model_type, api) for model_type in ("bert", "gpt2") for api in mini.APIS
    ]
    properties = {one.get("name"): one.get("value") for one in cells.iter("property")}
    assert properties["plan"] == PLAN.digest
    assert properties["note"] == "tiny, synthetic weights"
    assert properties["package.torch"] == "2.13.0"


@pytest.mark.parametrize("outcome", [one for one in VERDICTS if one not in {"passed", "missing"}])
def test_every_outcome_is_a_verdict_with_its_reason_and_its_reproduction(tmp_path: Path, outcome: Outcome) -> None:
    root = of_cell(tmp_path, mini.cell("bert", "pipeline", outcome))
    suite = JUnitXml.fromstring(etree.tostring(root))
    [case] = [case for one in suite for case in one if case.classname == "bert" and case.name == "pipeline"]
    [result] = case.result
    kinds = {"failure": JUnitFailure, "error": Error, "skipped": Skipped}
    assert type(result) is kinds[VERDICTS[outcome]]
    assert result.message in {"RuntimeError: mat1 and mat2", "no such task"}
    assert "reproduce: ci/nox -s cpu -- --types bert" in result.text


def test_counts_are_those_of_the_cases(tmp_path: Path) -> None:
    cells = mini.cell("bert", "pipeline", "failed"), mini.cell("gpt2", "pipeline", "crashed")
    suite = of_cell(tmp_path, *cells, mini.cell("gpt2", outcome="not-applicable"))[0]
    assert [suite.get(name) for name in ("tests", "failures", "errors", "skipped")] == ["4", "1", "1", "1"]


def test_a_canary_that_was_not_caught_is_a_failure(tmp_path: Path) -> None:
    cells = mini.cells_of(PLAN.shards[0])
    mini.write(tmp_path, [mini.header(PLAN), mini.canary(observed="passed"), *cells, mini.footer(cells)])
    write_shard(tmp_path)
    root = valid((tmp_path / "junit.xml").read_text())
    assert "was seen as passed: the run is void" in root[1].findall(".//failure")[0].get("message", "")


HOSTILE = [
    "\x00\x01\x08\x0b\x1f\x7f",
    "a ]]> b",
    "</failure></testcase><script>",
    "\x1b[31mred\x1b[0m\x1b]0;title\x07",
    "\ud800 half \udfff",
    "\ufffe\uffff",
    "&amp; &#0; &unknown; <!-- -- -->",
    "\u2028\u2029\x85\u202e",
    "line\r\nline\rline",
    "",
    " ",
]


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_hostile_text_is_made_safe_wherever_it_stands(tmp_path: Path, text: str) -> None:
    failure = mini.failure(message=text, traceback=text, log=text, error_class=text, hint=text, frame=text)
    root = of_cell(tmp_path, mini.cell("bert", "pipeline", "failed", failure=failure, reason=text))
    told = "".join(str(part) for part in root.itertext())
    assert "\x1b" not in told
    assert len(root.findall(".//failure")) == 1


def test_a_megabyte_of_log_is_cut_in_the_middle_and_says_so(tmp_path: Path) -> None:
    log = "first line\n" + "x" * 2**20 + "\nlast line"
    root = of_cell(tmp_path, mini.cell("bert", "pipeline", "failed", failure=mini.failure(log=log, traceback=None)))
    [failure] = root.findall(".//failure")
    assert failure.text is not None
    assert len(failure.text) < 50_000
    assert "characters cut" in failure.text
    assert failure.text.rstrip().endswith("last line")


def test_nothing_is_written_where_there_is_no_header(tmp_path: Path) -> None:
    mini.write(tmp_path, [mini.canary()])
    write_shard(tmp_path)
    assert not (tmp_path / "junit.xml").exists()


_ANY = st.text(st.characters(exclude_categories=()), max_size=40)


@given(name=_ANY, message=_ANY, text=_ANY, seconds=st.floats(0, 1e6))
def test_whatever_the_texts_the_document_is_valid(name: str, message: str, text: str, seconds: float) -> None:
    # A name of spaces only is no name; ours come from plans and are never empty.
    case = Case("bert", f"n{name}", seconds, "failure", f"t{name}", message, text)
    suite = Suite(f"s{name}", [case], "2026-11-24T10:00:00+00:00", {f"p{name}": text})
    assert valid(to_xml([suite]))[0].get("tests") == "1"
