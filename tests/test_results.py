"""A shard's folder: what is taken up again, what is refused, and what metrics.json says."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

import miniatures as mini
from harness import ROOT
from harness.errors import UsageError
from harness.records import Header
from harness.results import OUT_OF_TIME, resume, write_atomically, write_metrics
from harness.schema import schema
from harness.stream import read_results

PLAN = mini.plan()
HEADER = mini.header(PLAN)


def test_nothing_is_resumed_where_there_is_nothing(tmp_path: Path) -> None:
    assert resume(tmp_path / "results.jsonl", HEADER) == ()
    (tmp_path / "results.jsonl").touch()
    assert resume(tmp_path / "results.jsonl", HEADER) == ()


def test_a_torn_file_is_taken_up_after_its_last_whole_cell(tmp_path: Path) -> None:
    path = mini.write(tmp_path, mini.whole(PLAN)[:-2])
    with path.open("a") as file:
        file.write('{"kind":"cell","model_ty')
    kept = resume(path, HEADER)
    assert len(kept) == 3
    assert [one.kind for one in read_results(path).problems] == ["no footer"]  # whole lines only


def test_cells_that_blame_the_machine_are_measured_again(tmp_path: Path) -> None:
    broken = mini.cell("bert", "pipeline", "environment")
    path = mini.write(tmp_path, mini.whole(PLAN, None, broken))
    assert broken.key not in {cell.key for cell in resume(path, HEADER)}
    assert broken.key not in {cell.key for cell in read_results(path).cells}


def test_cells_that_no_time_was_left_for_are_measured_when_the_run_is_taken_up_and_those_over_the_cap_are_not(
    tmp_path: Path,
) -> None:
    left = mini.cell("bert", "pipeline", "not-selected", reason=f"{OUT_OF_TIME} of the 9 s of --budget")
    large = mini.cell("gpt2", "pipeline", "not-selected", reason="7,000,000,000 parameters")
    kept = {cell.key for cell in resume(mini.write(tmp_path, mini.whole(PLAN, None, left, large)), HEADER)}
    assert left.key not in kept
    assert large.key in kept


def test_a_void_run_is_not_taken_up(tmp_path: Path) -> None:
    records = [HEADER, mini.canary(observed="passed"), *mini.cells_of(PLAN.shards[0])]
    assert resume(mini.write(tmp_path, records), HEADER) == ()


@pytest.mark.parametrize(
    ("before", "told"),
    [
        (mini.header(mini.plan(["t5"])), "of another plan (--types t5"),
        (mini.header(PLAN, environment=mini.environment(engine="docker")), "engine docker, not local"),
        (mini.header(PLAN, environment=mini.environment(packages={"torch": "2.0"})), "torch 2.0, not 2.13.0"),
    ],
)
def test_results_of_another_plan_or_environment_are_refused_and_left_alone(
    tmp_path: Path, before: Header, told: str
) -> None:
    path = mini.write(tmp_path, [before, mini.canary(), mini.cell()])
    content = path.read_bytes()
    with pytest.raises(UsageError, match="cannot be resumed") as caught:
        resume(path, HEADER)
    assert told in str(caught.value)
    assert path.read_bytes() == content


def test_a_write_that_fails_leaves_the_old_file_and_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "\ud800")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_metrics_count_what_is_there_and_leave_out_what_was_not_measured(tmp_path: Path) -> None:
    cells = [mini.cell("bert", "pipeline", "failed"), mini.cell("gpt2", "pipeline", repairs=("mask",))]
    mini.write(tmp_path, mini.whole(PLAN, None, *cells)[:-1])
    write_metrics(tmp_path)
    told = json.loads((tmp_path / "metrics.json").read_text())
    assert told["cells"] == {
        "cells": 4,
        "outcomes": {"passed": 3, "failed": 1},
        "passed_as_shipped": 2,
        "passed_with_repair": 1,
    }
    assert told["note"] == "tiny, synthetic weights"
    assert told["complete"] is False
    assert "total_seconds" not in told


def test_every_kind_of_line_and_a_plan_hold_the_published_schema() -> None:
    published = json.loads((ROOT / "docs" / "results.schema.json").read_text())
    assert published == schema(), "python -m harness schema > docs/results.schema.json"
    line = Draft202012Validator(published)
    failed = [mini.cell(outcome=outcome) for outcome in ("failed", "not-applicable", "crashed")]
    for record in [*mini.whole(PLAN), *failed]:
        line.validate(json.loads(record.to_json()))
    plan = {"$ref": "#/$defs/Plan", "$defs": published["$defs"]}
    Draft202012Validator(plan).validate(json.loads(PLAN.to_json()))
    assert not line.is_valid(json.loads(PLAN.to_json()))
    assert not line.is_valid({**json.loads(mini.cell().to_json()), "outcome": "fine"})
