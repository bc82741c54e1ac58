"""``run`` for real: real forks of a parent with torch and transformers, real checkpoints, one shard from end to end."""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from harness import ROOT, run
from harness.canaries import CANARIES
from harness.cell import sabotage
from harness.cell.draft import Draft
from harness.cell.speed import measure_forward
from harness.configuration import load_configuration
from harness.plan import make_plan
from harness.records import Canary, Cell, Footer, Plan
from harness.selection import Selection
from harness.stream import read_results

pytestmark = pytest.mark.models

SHARD = "cpu/current/1of1"


def plan_of(*types: str) -> Plan:
    configuration = load_configuration()
    return make_plan(configuration.matrix, configuration.catalog, Selection(types=types))


def measure(folder: Path, plan: Plan, *words: str) -> int:
    folder.mkdir(exist_ok=True)
    (folder / "plan.json").write_text(plan.to_json())
    parser = argparse.ArgumentParser()
    run.add_arguments(parser)
    return run.main(
        parser.parse_args(
            ["--plan", str(folder / "plan.json"), "--shard", SHARD, "--out", str(folder), "--jobs", "2", *words]
        )
    )


def cells_of(folder: Path) -> dict[tuple[str, str], Cell]:
    return {(cell.model_type, cell.api): cell for cell in read_results(folder / "results.jsonl").cells}


def test_a_shard_is_measured_to_its_footer_with_a_proof_in_every_passed_cell(tmp_path: Path) -> None:
    assert measure(tmp_path, plan_of("bert", "patchtst")) == 0
    found = read_results(tmp_path / "results.jsonl")
    assert found.problems == ()
    assert isinstance(found.footer, Footer)
    assert found.footer.canaries_caught == found.footer.canaries == 6
    cells = cells_of(tmp_path)
    assert {key: cell.outcome for key, cell in cells.items()} == {
        ("bert", "from_pretrained"): "passed",
        ("bert", "pipeline"): "passed",
        ("patchtst", "from_pretrained"): "passed",
        ("patchtst", "pipeline"): "not-applicable",
    }
    for cell in cells.values():
        if cell.outcome == "passed":
            assert cell.proof is not None
            assert cell.proof.output_devices == cell.proof.parameter_devices == ("cpu",)
            assert cell.comparison is not None
            assert cell.comparison.max_relative == 0
            assert cell.metrics.latency is not None
            assert 5 <= cell.metrics.latency.iterations <= 20
            assert cell.metrics.latency.p99 is None
    assert (tmp_path / "junit.xml").exists()
    assert json.loads((tmp_path / "metrics.json").read_text())["complete"] is True


def test_the_same_type_has_the_same_weights_inputs_and_outputs_in_every_run(tmp_path: Path) -> None:
    plan = plan_of("vit")
    proofs = []
    for name in ("one", "two"):
        assert measure(tmp_path / name, plan) == 0
        proofs.append([cell.proof for cell in cells_of(tmp_path / name).values()])
    assert proofs[0] == proofs[1]


@pytest.mark.parametrize("blind", sorted(one.sabotage for one in CANARIES if one.runtime is None))
def test_a_run_in_which_a_canary_passes_is_void(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blind: str) -> None:
    monkeypatch.setitem(sabotage.SABOTAGES, blind, sabotage.Sabotage)  # spoils nothing, so the cell passes
    assert measure(tmp_path, plan_of("bert")) == 3
    found = read_results(tmp_path / "results.jsonl")
    assert found.footer is not None
    assert blind in str(found.footer.void)
    seen = {canary.name: canary for canary in found.canaries}
    assert isinstance(seen[blind], Canary)
    assert seen[blind].observed == "passed"


def test_a_cell_over_its_time_is_a_timeout_and_the_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(draft: Draft, *rest: Any) -> None:
        if draft.planned.model_type == "whisper":
            time.sleep(60)
        measure_forward(draft, *rest)

    monkeypatch.setattr("harness.cell.from_pretrained.measure_forward", slow)
    assert measure(tmp_path, plan_of("bert", "whisper"), "--timeout", "5", "--jobs", "1") == 0
    cells = cells_of(tmp_path)
    assert cells["whisper", "from_pretrained"].outcome == "timeout"
    assert cells["whisper", "from_pretrained"].failure is not None
    assert cells["whisper", "from_pretrained"].metrics.load_seconds is not None  # what was measured before stays
    assert cells["bert", "pipeline"].outcome == "passed"


def test_a_run_that_was_killed_is_taken_up_where_it_stood(tmp_path: Path) -> None:
    plan = plan_of("bert", "gpt2", "llama", "vit")
    (tmp_path / "plan.json").write_text(plan.to_json())
    words = ["--plan", "plan.json", "--shard", SHARD, "--out", str(tmp_path), "--jobs", "1"]
    words[1] = str(tmp_path / "plan.json")
    process = subprocess.Popen([sys.executable, "-m", "harness", "run", *words], cwd=ROOT, stdout=subprocess.DEVNULL)
    results = tmp_path / "results.jsonl"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (results.exists() and results.read_text().count('"kind":"cell"') >= 2):
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = cells_of(tmp_path)
    assert 2 <= len(before) < 8
    assert measure(tmp_path, plan, "--resume") == 0
    after = cells_of(tmp_path)
    assert len(after) == 8
    assert {key: after[key] for key in before} == before
    assert read_results(results).problems == ()


def test_what_a_budget_leaves_out_is_told_and_measured_when_the_run_is_taken_up(tmp_path: Path) -> None:
    plan = plan_of("bert", "gpt2")
    assert measure(tmp_path, plan, "--budget", "0.001") == 0
    left = cells_of(tmp_path)
    assert len(left) == 4
    assert all(cell.outcome == "not-selected" and "0.001 s of --budget" in cell.reason for cell in left.values())
    assert measure(tmp_path, plan, "--resume") == 0
    found = read_results(tmp_path / "results.jsonl")
    assert found.problems == ()
    assert [cell.outcome for cell in found.cells] == ["passed"] * 4


def test_ctrl_c_ends_with_130_and_leaves_what_was_measured(tmp_path: Path) -> None:
    plan = plan_of("whisper", "bert")
    (tmp_path / "plan.json").write_text(plan.to_json())
    words = ["--plan", str(tmp_path / "plan.json"), "--shard", SHARD, "--out", str(tmp_path)]
    process = subprocess.Popen([sys.executable, "-m", "harness", "run", *words], cwd=ROOT, stdout=subprocess.DEVNULL)
    results = tmp_path / "results.jsonl"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (results.exists() and '"kind":"canary"' in results.read_text()):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) == 130
    assert read_results(results).footer is None
