"""Judgement: what is as expected, what is not, which row says so, and what a baseline adds."""

import tomllib
from pathlib import Path

import pytest

import miniatures as mini
from harness.errors import UsageError
from harness.expectations import Expectation
from harness.records import Cell, Outcome, Plan
from harness.report import build
from harness.report.model import MatrixCell, MatrixReport

PLAN = mini.plan()


def reported(
    tmp_path: Path,
    *others: Cell,
    rows: tuple[Expectation, ...] = (),
    plan: Plan = PLAN,
    baseline: MatrixReport | None = None,
) -> MatrixReport:
    mini.write_whole(tmp_path / "results", plan, *others)
    return rebuilt(tmp_path, rows=rows, plan=plan, baseline=baseline)


def rebuilt(
    tmp_path: Path,
    *,
    rows: tuple[Expectation, ...] = (),
    plan: Plan | None = None,
    baseline: MatrixReport | None = None,
) -> MatrixReport:
    out = tmp_path / "report"
    configuration = mini.configuration(*rows)
    code = build(tmp_path / "results", out, plan=plan, baseline=baseline, configuration=configuration)
    report = MatrixReport.read(out / "matrix.json")
    assert report.exit_code == code
    return report


def judgement(report: MatrixReport, model_type: str, api: str) -> MatrixCell:
    [found] = [one for one in report.cells if (one.model_type, one.api) == (model_type, api)]
    return found


def test_all_passed_and_nothing_expected_is_fine(tmp_path: Path) -> None:
    report = reported(tmp_path)
    assert report.exit_code == 0
    assert report.suggestions == ()
    assert (report.totals.cells, report.totals.types, report.totals.passed_as_shipped) == (4, 2, 4)


def test_a_failure_without_a_row_is_bad_and_its_row_can_be_pasted(tmp_path: Path) -> None:
    report = reported(tmp_path, mini.cell("bert", "pipeline", "failed"))
    assert report.exit_code == 1
    assert judgement(report, "bert", "pipeline").judgement == "unexpected failure"
    [row] = tomllib.loads("\n".join(report.suggestions))["cell"]
    again = reported(tmp_path, mini.cell("bert", "pipeline", "failed"), rows=(Expectation.model_validate(row),))
    assert again.exit_code == 0
    assert judgement(again, "bert", "pipeline").judgement == "as expected"


def test_a_pass_with_a_row_is_bad_and_the_row_to_remove_is_told_as_it_stands(tmp_path: Path) -> None:
    row = mini.expectation("bert", "pipeline")
    report = reported(tmp_path, rows=(row,))
    assert report.exit_code == 1
    assert judgement(report, "bert", "pipeline").judgement == "unexpected pass"
    assert "passes. Remove:" in report.suggestions[0]
    assert tomllib.loads(report.suggestions[0])["cell"] == [row.model_dump(exclude_none=True)]


def test_another_outcome_than_the_rows_is_bad(tmp_path: Path) -> None:
    rows = (mini.expectation("bert", "pipeline", "timeout"),)
    report = reported(tmp_path, mini.cell("bert", "pipeline", "crashed"), rows=rows)
    assert report.exit_code == 1
    assert "expected timeout, and it is crashed. Change to:" in report.suggestions[0]


def test_a_skip_that_nobody_expected_is_bad(tmp_path: Path) -> None:
    assert reported(tmp_path, mini.cell("bert", "pipeline", "not-applicable")).exit_code == 1


@pytest.mark.parametrize("rows", [(), (mini.expectation("bert", "pipeline"),)])
def test_no_device_is_a_skip_with_and_without_a_row(tmp_path: Path, rows: tuple[Expectation, ...]) -> None:
    report = reported(tmp_path, mini.cell("bert", "pipeline", "no-device"), rows=rows)
    assert judgement(report, "bert", "pipeline").judgement == "skipped"
    assert report.exit_code == 0


def test_a_broken_machine_is_bad_and_no_row_is_suggested_for_it(tmp_path: Path) -> None:
    report = reported(tmp_path, mini.cell("bert", "pipeline", "environment"))
    assert (report.exit_code, report.suggestions) == (1, ())


def test_no_row_excuses_a_missing_cell(tmp_path: Path) -> None:
    reported(tmp_path)
    path = tmp_path / "results/cpu/current/1of1/results.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-2]))
    report = rebuilt(tmp_path, rows=(mini.expectation("gpt2", "pipeline"),))
    lost = judgement(report, "gpt2", "pipeline")
    assert (lost.outcome, lost.judgement, lost.stage, lost.domain) == ("missing", "missing", None, "text")
    assert lost.reproduce == "ci/nox -s cpu -- --types gpt2 --stack current --out results-again"
    assert report.exit_code == 1
    assert [one.kind for one in report.problems] == ["no footer", "missing cell"]


def test_a_void_shard_is_exit_code_3_and_none_of_its_cells_counts(tmp_path: Path) -> None:
    cells = mini.cells_of(PLAN.shards[0])
    missed = mini.canary(observed="passed")
    footer = mini.footer(cells, canaries_caught=0, void="canaries were not caught: crashes")
    mini.write(tmp_path / "results/a", [mini.header(PLAN), missed, *cells, footer])
    report = rebuilt(tmp_path)
    assert report.exit_code == 3
    assert {cell.judgement for cell in report.cells} == {"void"}
    assert report.shards[0].void


def test_passes_as_shipped_and_with_a_repair_are_counted_apart(tmp_path: Path) -> None:
    totals = reported(tmp_path, mini.cell("bert", "pipeline", repairs=("mask",))).totals
    assert (totals.passed_as_shipped, totals.passed_with_repair) == (3, 1)
    assert sum(group.passed_with_repair for group in totals.groups) == 1


def test_failures_of_one_signature_are_one_cluster_across_types_and_backends(tmp_path: Path) -> None:
    plan = mini.plan(["a", "b", "c"], places=(("cpu", "current"), ("openvino", "current")))
    other = mini.failure(signature="KeyError in get: <name>")
    failed = [
        mini.cell(name, "pipeline", "failed", backend=backend) for name in ("a", "b") for backend in ("cpu", "openvino")
    ]
    report = reported(tmp_path, *failed, mini.cell("c", "pipeline", "failed", failure=other), plan=plan)
    first, second = report.clusters
    assert (first.types, first.cells, first.backends) == (("a", "b"), 4, ("cpu", "openvino"))
    assert second.signature == other.signature


def test_of_several_stacks_the_best_outcome_is_shown_and_of_equal_ones_the_newest(tmp_path: Path) -> None:
    plan = mini.plan(["a"], places=(("cpu", "new"), ("cpu", "old")))
    failed = mini.cell("a", "pipeline", "failed", stack="new")
    report = reported(tmp_path, failed, plan=plan)
    best = {cell.api: cell.stack for cell in report.cells if cell.best}
    assert best == {"from_pretrained": "new", "pipeline": "old"}


def test_backends_that_were_not_planned_are_said(tmp_path: Path) -> None:
    report = reported(tmp_path, plan=mini.plan(places=(("elsewhere", "current"),)))
    assert "cpu" in report.backends_not_planned


# --- against a baseline -------------------------------------------------------------------------------


def changed(tmp_path: Path, before: Cell, after: Cell) -> MatrixReport:
    baseline = reported(tmp_path, before)
    rows = () if after.outcome == "passed" else (mini.expectation(after.model_type, after.api, after.outcome),)
    return reported(tmp_path, after, rows=rows, baseline=baseline)


def one(outcome: Outcome = "passed", **changes: object) -> Cell:
    return mini.cell("bert", "pipeline", outcome, **changes)


@pytest.mark.parametrize(
    ("before", "after", "kind", "code"),
    [
        (one(), one("failed"), "regressed", 1),
        (one(), one(repairs=("mask",)), "regressed", 1),
        (one(repairs=("mask",)), one("failed"), "regressed", 1),
        (one("failed"), one(), "newly_passing", 0),
        (one("failed"), one(repairs=("mask",)), "newly_passing", 0),
        (one(repairs=("mask",)), one(), "newly_passing", 0),
        (one(repairs=("mask",)), one(repairs=("other",)), "otherwise_changed", 0),
        (one("failed"), one("crashed"), "otherwise_changed", 0),
        (one("failed"), one("not-applicable"), "otherwise_changed", 1),  # one skip more
    ],
)
def test_a_change_is_told_as_what_it_is(tmp_path: Path, before: Cell, after: Cell, kind: str, code: int) -> None:
    report = changed(tmp_path, before, after)
    assert report.baseline is not None
    assert report.exit_code == code
    for name in ("regressed", "newly_passing", "otherwise_changed"):
        assert len(getattr(report.baseline, name)) == (name == kind)


def test_cells_that_are_new_or_gone_are_counted(tmp_path: Path) -> None:
    baseline = reported(tmp_path / "before", plan=mini.plan(["bert", "t5"]))
    report = reported(tmp_path / "now", plan=mini.plan(["bert", "vit", "llama"]), baseline=baseline)
    assert report.baseline is not None
    assert (report.baseline.compared, report.baseline.new_cells, report.baseline.gone_cells) == (2, 4, 2)
    assert report.exit_code == 0


def test_a_cell_that_is_missing_now_is_a_regression_too(tmp_path: Path) -> None:
    baseline = reported(tmp_path)
    path = tmp_path / "results/cpu/current/1of1/results.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-2]))
    report = rebuilt(tmp_path, baseline=baseline)
    assert report.baseline is not None
    assert [(change.before, change.after) for change in report.baseline.regressed] == [("passed", "missing")]


def test_at_full_scale_a_row_about_tiny_models_says_nothing_and_what_is_left_out_is_a_skip(tmp_path: Path) -> None:
    plan = mini.plan(["bert"]).model_copy(update={"scale": "full"})
    cells = (mini.cell("bert"), mini.cell("bert", "pipeline", "not-selected"))
    report = reported(tmp_path, *cells, plan=plan, rows=(mini.expectation("bert", "from_pretrained"),))
    assert judgement(report, "bert", "from_pretrained").judgement == "as expected"
    assert judgement(report, "bert", "pipeline").judgement == "skipped"
    assert (report.note, report.exit_code, report.suggestions) == ("full size, random weights", 0, ())


def test_a_baseline_of_other_weights_is_refused(tmp_path: Path) -> None:
    plan = mini.plan(["bert"])
    tiny = reported(tmp_path / "tiny", plan=plan)
    mini.write_whole(tmp_path / "full", plan.model_copy(update={"scale": "full"}))
    with pytest.raises(UsageError, match="other weights"):
        build(tmp_path / "full", tmp_path / "report", baseline=tiny, configuration=mini.configuration())
