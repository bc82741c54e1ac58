"""What is shown of a model type: all that data/ and the last report say, without torch."""

import dataclasses
import re
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

import miniatures as mini
from harness import ROOT
from harness.__main__ import main
from harness.configuration import load_configuration
from harness.evidence import Evidence, EvidenceCell
from harness.records import Cell, Device, Way
from harness.report import build

PLACE = "ci/nox -s cpu -- --types bert --stack current"


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["show", *words]) == 0
    return capsys.readouterr().out


@pytest.fixture
def report(tmp_path: Path) -> Path:
    failed: Cell = mini.cell("bert", "pipeline", outcome="failed")
    mini.write_whole(tmp_path / "results", mini.plan(("bert",)), failed)
    build(tmp_path / "results", tmp_path / "report", configuration=mini.configuration())
    return tmp_path / "report"


def test_a_family_shows_its_types_each_with_domain_lists_and_stacks(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "Phi-4")
    assert text.index("phi3\n") < text.index("phi4_multimodal\n")
    assert "vision-language" in text
    assert "families, all" in text
    assert "current (transformers" in text


def test_a_recipe_is_shown_whole_with_its_file(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "vqgan")
    assert "recipe (data/recipes/outside.toml)" in text
    assert "diffusers.VQModel" in text


def test_the_ways_that_are_pinned_are_shown_by_stack_and_api(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration = load_configuration()
    way = Way(task="fill-mask", model_class="BertForMaskedLM", style="shallow", source="processor")
    catalog = dataclasses.replace(configuration.catalog, ways={"current": {"bert": {"from_pretrained": way}}})
    changed = dataclasses.replace(configuration, catalog=catalog)
    monkeypatch.setattr("harness.show.load_configuration", lambda: changed)
    text = shown(capsys, "bert")
    assert "pinned ways" in text
    assert "current from_pretrained   BertForMaskedLM, for fill-mask, shallow, processor" in text


def test_the_newest_evidence_of_each_place_is_shown_with_its_device_and_date(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = EvidenceCell(model_type="bert", api="pipeline", outcome="passed")
    device = Device(name="A GPU")
    new = Evidence(
        backend="cuda", stack="installed", scale="tiny", selection="list all", measured_on=date(2026, 11, 26),
        canaries_caught=6, canaries=6, complete=True, environment=mini.environment(device=device), cells=(cell,),
    )  # fmt: skip
    failed = cell.model_copy(update={"outcome": "mismatch"})
    old = new.model_copy(update={"measured_on": date(2026, 11, 24), "cells": (failed,)})
    changed = dataclasses.replace(load_configuration(), evidence=(new, old))
    monkeypatch.setattr("harness.show.load_configuration", lambda: changed)
    text = shown(capsys, "bert")
    assert re.search(r"cuda pipeline +passed on A GPU, 2026-11-26\n", text)
    assert "2026-11-24" not in text


def test_cells_are_shown_with_class_task_figures_and_the_line_that_runs_them_again(
    capsys: pytest.CaptureFixture[str], report: Path
) -> None:
    text = shown(capsys, "bert", "--report", str(report))
    for part in ("from_pretrained(): passed (as expected", "class under test", "task", "median latency", PLACE):
        assert part in text


def test_a_cell_that_failed_is_shown_with_frame_category_hint_and_signature(
    capsys: pytest.CaptureFixture[str], report: Path
) -> None:
    text = shown(capsys, "bert", "--report", str(report))
    assert "pipeline(): failed (unexpected failure" in text
    for part in ("error class", "frame", "category", "hint", "signature"):
        assert part in text


def test_a_name_that_nobody_can_run_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert "closed weights" in shown(capsys, "Claude3-Haiku")


def test_an_unknown_name_is_told_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "bert", "qwen2_vll", "no-such-thing-at-all"]) == 2
    told = capsys.readouterr().err
    assert "'qwen2_vll' (did you mean 'qwen2_vl'?)" in told
    assert "no model type and no family 'no-such-thing-at-all'" in told


def test_nothing_of_torch_is_imported_to_show_a_type() -> None:
    code = "import sys; from harness.__main__ import main; main(['show', 'bert']); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)
