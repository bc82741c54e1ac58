"""The tables of tasks and of what is not applicable: every task of the stack is in it, run or not, and says why not."""

from pathlib import Path

import miniatures as mini
from harness.records import Cell, Proof
from harness.report import build
from harness.report.coverage import Absence, TaskRow, task_rows
from harness.report.model import MatrixEnvironment, MatrixReport

TASKS = ("fill-mask", "mask-generation", "text-generation")


def reported(tmp_path: Path, types: tuple[str, ...], *others: Cell) -> MatrixReport:
    mini.write_whole(tmp_path / "results", mini.plan(types), *others)
    build(tmp_path / "results", tmp_path / "report", configuration=mini.configuration())
    return MatrixReport.read(tmp_path / "report" / "matrix.json")


def rows(report: MatrixReport) -> dict[str, TaskRow]:
    environment = MatrixEnvironment(
        backend="cpu", stack="current", digest="0", shards=(), environment=mini.environment(tasks=TASKS)
    )
    return {one.task: one for one in task_rows(report.cells, [environment])}


def with_stand_in(cell: Cell) -> Cell:
    assert isinstance(cell.proof, Proof)
    proof = cell.proof.model_copy(update={"stand_ins": {"tokenizer": "none of its own"}})
    return cell.model_copy(update={"proof": proof})


def test_a_task_that_no_type_is_run_with_is_told(tmp_path: Path) -> None:
    found = rows(reported(tmp_path, ("bert",)))
    assert list(found) == list(TASKS)
    assert found["fill-mask"].passed == ("bert",)
    assert not found["mask-generation"].run
    assert found["mask-generation"].why == "no type of this plan is run with it"


def test_a_task_that_no_type_passes_says_why_the_first_did_not(tmp_path: Path) -> None:
    failed = mini.cell("sam", "pipeline", "failed", task="mask-generation", reason="no such mask")
    found = rows(reported(tmp_path, ("bert", "sam"), failed))["mask-generation"]
    assert not found.run
    assert found.not_passed == {"sam": "failed"}
    assert found.why == "sam: no such mask"


def test_a_pipeline_with_a_stand_in_is_counted_apart(tmp_path: Path) -> None:
    found = rows(reported(tmp_path, ("bert", "gpt2"), with_stand_in(mini.cell("gpt2", "pipeline"))))["fill-mask"]
    assert (found.passed, found.passed_with_stand_in) == (("bert",), ("gpt2",))


def test_a_direct_call_runs_no_pipeline(tmp_path: Path) -> None:
    direct = mini.cell("sam", task="mask-generation")
    assert not rows(reported(tmp_path, ("bert", "sam"), direct))["mask-generation"].run


def test_what_is_not_applicable_for_one_reason_stands_together(tmp_path: Path) -> None:
    parts = [mini.cell(one, outcome="not-applicable", reason="the config of a part") for one in ("sam", "esm")]
    report = reported(tmp_path, ("bert", "sam", "esm"), *parts)
    assert report.absences == (Absence(api="from_pretrained", reason="the config of a part", types=("esm", "sam")),)
    assert "| `from_pretrained` | 2 | the config of a part | esm, sam |" in (tmp_path / "report/matrix.md").read_text()
    assert "the config of a part" in (tmp_path / "report/index.html").read_text()


def test_a_report_of_a_run_that_asked_for_the_tasks_shows_them_everywhere(tmp_path: Path) -> None:
    plan = mini.plan(("bert",))
    told_by_run = mini.whole(plan, environment=mini.environment(tasks=TASKS))
    mini.write(tmp_path / "results" / plan.shards[0].id, told_by_run)
    build(tmp_path / "results", tmp_path / "report", configuration=mini.configuration())
    report = MatrixReport.read(tmp_path / "report" / "matrix.json")
    assert [one.task for one in report.tasks] == list(TASKS)
    told = "1 of 3 tasks of pipeline() are run by a type"
    assert told in (tmp_path / "report/matrix.md").read_text()
    assert told in (tmp_path / "report/index.html").read_text()
