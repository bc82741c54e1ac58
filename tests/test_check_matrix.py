"""CI's last word on a report: every way in which a report cannot be believed is found."""

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import ROOT
from harness.canaries import CANARIES

SHARD = "cpu/current/1of1"
PLAN: dict[str, Any] = {
    "apis": ["from_pretrained", "pipeline"],
    "shards": [
        {
            "id": SHARD,
            "backend": "cpu",
            "stack": "current",
            "types": [{"model_type": "bert"}, {"model_type": "patchtst"}],
        }
    ],
}


def cell(model_type: str, api: str, outcome: str = "passed") -> dict[str, Any]:
    return {
        "model_type": model_type, "backend": "cpu", "stack": "current", "api": api, "outcome": outcome,
        "judgement": "as expected", "reason": "", "proof": {"weights_sha256": "00"} if outcome == "passed" else None,
    }  # fmt: skip


MATRIX: dict[str, Any] = {
    "exit_code": 0,
    "problems": [],
    "cells": [
        cell("bert", "from_pretrained"),
        cell("bert", "pipeline"),
        cell("patchtst", "from_pretrained"),
        cell("patchtst", "pipeline", "not-applicable"),
    ],
    "shards": [{"id": SHARD, "complete": True}],
    "environments": [{"shards": [SHARD], "environment": {"engine": "docker", "image": "sha256:12"}}],
    "canaries": [
        {"name": one.sabotage, "expected": one.outcome, "observed": one.outcome, "shard": SHARD} for one in CANARIES
    ],
}


def check(tmp_path: Path, matrix: Any, *words: str) -> "subprocess.CompletedProcess[str]":
    for name, content in (("matrix", matrix), ("plan", PLAN)):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    return subprocess.run(
        [sys.executable, ROOT / ".ci/check_matrix.py", "matrix.json", "plan.json", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_report_that_can_be_believed_passes(tmp_path: Path) -> None:
    done = check(tmp_path, MATRIX, "--passed", "3")
    assert done.returncode == 0, done.stderr
    assert "4 cells as planned (3 passed, 1 not-applicable)" in done.stdout


def lose_a_cell(matrix: dict[str, Any]) -> None:
    del matrix["cells"][1]


def add_a_cell(matrix: dict[str, Any]) -> None:
    matrix["cells"].append(cell("gpt2", "pipeline"))


def double_a_cell(matrix: dict[str, Any]) -> None:
    matrix["cells"].append(cell("bert", "pipeline"))


def cut_off_the_shard(matrix: dict[str, Any]) -> None:
    matrix["shards"][0]["complete"] = False


def lose_the_environment(matrix: dict[str, Any]) -> None:
    matrix["environments"] = []


def run_without_a_container(matrix: dict[str, Any]) -> None:
    matrix["environments"][0]["environment"] = {"engine": "local"}


def lose_a_canary(matrix: dict[str, Any]) -> None:
    del matrix["canaries"][0]


def let_a_canary_pass(matrix: dict[str, Any]) -> None:
    matrix["canaries"][0]["observed"] = "passed"


def lose_a_proof(matrix: dict[str, Any]) -> None:
    matrix["cells"][0]["proof"] = None


def fail_unexpectedly(matrix: dict[str, Any]) -> None:
    matrix["cells"][0] |= {"outcome": "failed", "judgement": "unexpected failure"}


def skip_a_cell(matrix: dict[str, Any]) -> None:
    matrix["cells"][0] |= {"outcome": "not-applicable", "proof": None}


def have_a_problem(matrix: dict[str, Any]) -> None:
    matrix["problems"].append({"kind": "doubled", "message": "doubled: bert"})


def judge_badly(matrix: dict[str, Any]) -> None:
    matrix["exit_code"] = 1


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lose_a_cell, "planned, but not there: bert cpu current pipeline"),
        (add_a_cell, "there, but not planned: gpt2 cpu current pipeline"),
        (double_a_cell, "there 2 times: bert cpu current pipeline"),
        (cut_off_the_shard, "is missing, cut off or void"),
        (lose_the_environment, "no environment"),
        (run_without_a_container, "engine local, not docker"),
        (lose_a_canary, f"no canary {CANARIES[0].sabotage}"),
        (let_a_canary_pass, "came out passed"),
        (lose_a_proof, "passed without a proof"),
        (fail_unexpectedly, "unexpected failure"),
        (skip_a_cell, "2 cells passed, of at least 3"),
        (have_a_problem, "a problem: doubled: bert"),
        (judge_badly, "own exit code is 1"),
    ],
)
def test_what_cannot_be_believed_is_told(tmp_path: Path, spoil: Callable[[dict[str, Any]], None], told: str) -> None:
    matrix = copy.deepcopy(MATRIX)
    spoil(matrix)
    done = check(tmp_path, matrix, "--passed", "3")
    assert done.returncode == 1
    assert told in done.stderr
