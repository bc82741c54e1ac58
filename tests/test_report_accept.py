"""``report --accept``: what was measured becomes what is expected, and nothing else changes."""

from collections.abc import Sequence
from pathlib import Path

import pytest

import miniatures
from harness.errors import ResultsError
from harness.expectations import Expectation, load_expectations
from harness.records import Cell
from harness.report import MATRIX_FILE, build
from harness.report.accept import accept
from harness.report.model import MatrixReport

TYPES = ("bert", "gpt2", "llama", "vit")


def report_of(folder: Path, cells: Sequence[Cell], rows: Sequence[Expectation], *, whole: bool = True) -> MatrixReport:
    plan = miniatures.plan(TYPES)
    miniatures.write_whole(folder / "results", plan, *cells)
    if not whole:
        next((folder / "results").rglob("results.jsonl")).unlink()
    build(folder / "results", folder / "report", plan=plan, configuration=miniatures.configuration(*rows))
    return MatrixReport.read(folder / "report" / MATRIX_FILE)


def test_what_failed_gets_a_row_what_passes_loses_it_and_what_holds_keeps_its_reason(tmp_path: Path) -> None:
    cells = (
        miniatures.cell("gpt2", "pipeline", "failed", reason="new"),
        miniatures.cell("llama", "pipeline", "timeout", reason="slow"),
        miniatures.cell("vit", "pipeline", "failed", reason="another word for it"),
    )
    rows = (
        miniatures.expectation("bert", "pipeline"),
        miniatures.expectation("llama", "pipeline"),
        miniatures.expectation("vit", "pipeline", reason="a reason that somebody found"),
        miniatures.expectation("t5", "pipeline", reason="not measured this time"),
    )
    before = miniatures.configuration(*rows).expectations
    changes = accept(report_of(tmp_path, cells, rows), before, tmp_path / "expectations")
    after = load_expectations(tmp_path / "expectations")
    assert {(row.model_type, row.stack, row.outcome, row.reason) for row in after.rows} == {
        ("gpt2", "current", "failed", "new"),
        ("llama", None, "timeout", "slow"),
        ("vit", None, "failed", "a reason that somebody found"),
        ("t5", None, "failed", "not measured this time"),
    }
    assert [change[0] for change in changes] == ["-", "+", "~"]
    again = report_of(tmp_path, cells, after.rows)
    assert again.exit_code == 0
    assert accept(again, after, tmp_path / "expectations") == []


def test_one_row_is_written_for_types_that_fail_alike(tmp_path: Path) -> None:
    cells = tuple(miniatures.cell(name, "pipeline", "not-applicable", reason="no such task") for name in TYPES)
    accept(report_of(tmp_path, cells, ()), miniatures.configuration().expectations, tmp_path)
    assert (tmp_path / "cpu.toml").read_text().count("[[cell]]") == 1
    assert {row.model_type for row in load_expectations(tmp_path).rows} == set(TYPES)


def test_incomplete_results_change_nothing(tmp_path: Path) -> None:
    with pytest.raises(ResultsError):
        accept(report_of(tmp_path, (), (), whole=False), miniatures.configuration().expectations, tmp_path / "e")
    assert not (tmp_path / "e").exists()


def test_a_broken_machine_is_never_expected(tmp_path: Path) -> None:
    cells = (miniatures.cell("gpt2", "pipeline", "environment", reason="no space left"),)
    assert accept(report_of(tmp_path, cells, ()), miniatures.configuration().expectations, tmp_path / "e") == []
    assert load_expectations(tmp_path / "e").rows == ()
