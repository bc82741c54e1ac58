"""The families' table: names and types apart, stand-ins apart, and nothing counted that was not planned."""

from pathlib import Path

import miniatures as mini
from harness.records import Cell
from harness.report import build
from harness.report.model import FamilyResult, FamilyRow, MatrixReport


def reported(tmp_path: Path, types: tuple[str, ...], *others: Cell) -> MatrixReport:
    mini.write_whole(tmp_path / "results", mini.plan(types), *others)
    build(tmp_path / "results", tmp_path / "report", configuration=mini.configuration())
    return MatrixReport.read(tmp_path / "report" / "matrix.json")


def row(report: MatrixReport, name: str) -> FamilyRow:
    [found] = [one for one in report.families if one.name == name]
    return found


def result(report: MatrixReport, name: str, api: str = "from_pretrained") -> FamilyResult:
    [found] = [one for one in row(report, name).results if one.api == api]
    return found


def test_several_names_of_one_type_are_names_apart_and_one_type(tmp_path: Path) -> None:
    report = reported(tmp_path, ("llama", "bert"))
    assert [one.name for one in report.families] == ["BERT", "LLaMA", "TinyLlama", "CodeLlama"]
    [total] = [one for one in report.family_totals if one.api == "from_pretrained"]
    assert (total.names, total.names_passed, total.types, total.types_passed) == (4, 4, 2, 2)


def test_a_name_has_passed_only_where_all_its_types_have(tmp_path: Path) -> None:
    report = reported(tmp_path, ("deepseek_v2", "deepseek_v3"), mini.cell("deepseek_v3", outcome="failed"))
    found = result(report, "DeepSeek")
    assert not found.passed
    assert found.outcomes == {"deepseek_v2": "passed", "deepseek_v3": "failed"}
    assert found.reason == "RuntimeError: mat1 and mat2"
    assert result(report, "DeepSeek", "pipeline").passed


def test_a_type_that_was_not_planned_keeps_its_name_from_passing_and_is_not_counted(tmp_path: Path) -> None:
    report = reported(tmp_path, ("phi3",))
    assert result(report, "Phi-3").passed
    assert result(report, "Phi-4").outcomes == {"phi3": "passed", "phi4_multimodal": "not planned"}
    assert not result(report, "Phi-4").passed
    assert report.family_totals[0].types == 1


def test_a_stand_in_is_counted_apart_and_told(tmp_path: Path) -> None:
    whole = mini.cell("bert", "pipeline")
    assert whole.proof is not None
    proof = whole.proof.model_copy(update={"stand_ins": {"tokenizer": "none of its own"}})
    report = reported(tmp_path, ("bert", "gpt2"), whole.model_copy(update={"proof": proof}))
    [total] = [one for one in report.family_totals if one.api == "pipeline"]
    assert (total.names_passed, total.names_passed_with_stand_in) == (1, 1)
    assert result(report, "BERT", "pipeline").stand_ins == ("tokenizer: none of its own",)
    text = (tmp_path / "report" / "matrix.md").read_text()
    assert "1 of 2 names passed, and 1 with a stand-in; 2 of 2 distinct types" in text
    page = (tmp_path / "report" / "index.html").read_text()
    assert "passed with a stand-in" in page


def test_what_nobody_can_run_says_why_in_the_table(tmp_path: Path) -> None:
    told = mini.cell("orca-3", outcome="not-applicable", reason="unpublished")
    report = reported(tmp_path, ("orca-3",), told, told.model_copy(update={"api": "pipeline"}))
    assert report.exit_code == 0
    assert result(report, "Orca3").outcomes == {"orca-3": "not-applicable"}
    assert result(report, "Orca3").reason == "unpublished"


def test_types_without_a_name_are_in_no_row(tmp_path: Path) -> None:
    assert reported(tmp_path, ("albert",)).families == ()
