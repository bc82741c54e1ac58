"""data/evidence/: kept from a run that had the device, shown by one that had not, and counted by none but the first."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

import miniatures
from harness.configuration import Configuration, load_configuration
from harness.errors import ResultsError, UsageError
from harness.evidence import load_evidence
from harness.records import Api, Cell, Device, Outcome, Plan
from harness.report import MATRIX_FILE, build
from harness.report.keep import keep
from harness.report.model import MatrixReport

GPU = Device(name="A GPU", id="GPU-1", capability="9.0", free_bytes=1, shared_with=("process 1 (/somewhere/python)",))
TODAY = date(2026, 11, 27)
"""Three days after the miniatures' runs."""


def configuration(folder: Path) -> Configuration:
    return replace(miniatures.configuration(), evidence=load_evidence(folder))


def report(folder: Path, plan: Plan, cells: Sequence[Cell], evidence: Path, **environment: object) -> MatrixReport:
    miniatures.write_whole(folder / "results", plan, *cells, environment=miniatures.environment(**environment))
    build(folder / "results", folder / "report", plan=plan, configuration=configuration(evidence), today=TODAY)
    return MatrixReport.read(folder / "report" / MATRIX_FILE)


def on_cuda(outcome: Outcome = "passed", stack: str = "current", reason: str = "") -> list[Cell]:
    """Bert through both APIs, gpt2 through one: for the other there was no time."""
    places: tuple[tuple[str, Api], ...] = (
        ("bert", "from_pretrained"),
        ("bert", "pipeline"),
        ("gpt2", "from_pretrained"),
    )
    found = [miniatures.cell(*one, outcome, backend="cuda", stack=stack, reason=reason) for one in places]
    left = miniatures.cell("gpt2", "pipeline", "not-selected", backend="cuda", stack=stack, reason="no time")
    return [*found, left]


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """The folder with what a run with a GPU left."""
    plan = miniatures.plan(places=[("cuda", "installed")])
    measured = report(tmp_path / "gpu", plan, on_cuda(stack="installed"), tmp_path / "none", device=GPU)
    keep(measured, ["cuda"], tmp_path / "evidence")
    return tmp_path / "evidence"


def test_what_is_kept_has_every_measured_cell_and_the_device_without_the_accidents_of_the_run(kept: Path) -> None:
    (found,) = load_evidence(kept)
    assert found.file == "cuda-installed-tiny-2026-11-24.json"
    assert [path.name for path in kept.iterdir()] == [found.file]
    assert {(one.model_type, one.api, one.outcome) for one in found.cells} == {
        ("bert", "from_pretrained", "passed"),
        ("bert", "pipeline", "passed"),
        ("gpt2", "from_pretrained", "passed"),
    }
    assert all(one.max_relative is not None and one.p50_seconds and one.weights_sha256 for one in found.cells)
    assert found.environment.packages["torch"] == "2.13.0"
    assert found.environment.device == Device(name="A GPU", capability="9.0")
    assert (found.canaries_caught, found.complete) == (found.canaries, True)


def test_cells_without_a_device_show_when_and_where_they_last_passed_and_stay_without_one(
    kept: Path, tmp_path: Path
) -> None:
    plan = miniatures.plan(places=[("cuda", "current")])
    blank = on_cuda("no-device", reason="there is no GPU")
    found = report(tmp_path / "here", plan, blank, kept)
    assert found.totals.passed_as_shipped == found.totals.passed_with_repair == 0
    assert found.totals.outcomes == {"no-device": 3, "not-selected": 1}
    assert {row.place for row in found.last_verified} == {
        ("bert", "cuda", "from_pretrained"),
        ("bert", "cuda", "pipeline"),
        ("gpt2", "cuda", "from_pretrained"),
    }
    (source,) = found.evidence
    assert (source.days_old, source.measured_on, source.stack) == (3, "2026-11-24", "installed")
    assert source.passed == source.cells == {"from_pretrained": 2, "pipeline": 1}
    told = "last verified on A GPU, compute capability 9.0, 2026-11-24, 3 days old (torch 2.13.0, transformers 5.23.0)"
    folder = tmp_path / "here" / "report"
    assert f"cuda, {told}: 2 of 2 from_pretrained() and 1 of 1 pipeline() cells passed" in (
        (folder / "matrix.md").read_text().replace("\\_", "_")
    )
    page = (folder / "index.html").read_text()
    assert told in page
    assert '"last verified"' in page


def test_a_backend_that_was_not_planned_is_shown_for_the_types_of_the_report_alone(kept: Path, tmp_path: Path) -> None:
    found = report(tmp_path / "here", miniatures.plan(types=["bert"]), [], kept)
    assert found.totals.cells == 2
    assert {row.place for row in found.last_verified} == {
        ("bert", "cuda", "from_pretrained"),
        ("bert", "cuda", "pipeline"),
    }


def test_a_run_with_the_device_shows_its_own_results_alone(kept: Path, tmp_path: Path) -> None:
    plan = miniatures.plan(places=[("cuda", "current")])
    found = report(tmp_path / "here", plan, on_cuda("failed"), kept, device=GPU)
    assert (found.evidence, found.last_verified) == ((), ())


def test_the_newest_evidence_counts(kept: Path, tmp_path: Path) -> None:
    (old,) = load_evidence(kept)
    worse = [one.model_copy(update={"outcome": "mismatch"}) for one in old.cells[:1]]
    newer = old.model_copy(update={"measured_on": date(2026, 11, 26), "cells": tuple(worse)})
    (kept / newer.file).write_text(newer.to_document())
    found = report(tmp_path / "here", miniatures.plan(types=["bert"]), [], kept)
    told = {row.api: (row.outcome, row.file) for row in found.last_verified}
    assert told == {"from_pretrained": ("mismatch", newer.file), "pipeline": ("passed", old.file)}
    assert [source.days_old for source in found.evidence] == [1, 3]


def test_evidence_of_another_scale_is_of_no_use(kept: Path, tmp_path: Path) -> None:
    (old,) = load_evidence(kept)
    (kept / old.file).write_text(old.model_copy(update={"scale": "full"}).to_document())
    assert report(tmp_path / "here", miniatures.plan(types=["bert"]), [], kept).evidence == ()


def test_what_is_no_evidence_is_not_kept(tmp_path: Path) -> None:
    plan = miniatures.plan(places=[("cuda", "current")])
    nothing = report(tmp_path / "none", plan, on_cuda("no-device"), tmp_path)
    with pytest.raises(ResultsError, match="no cell of it was measured"):
        keep(nothing, ["cuda"], tmp_path / "evidence")
    with pytest.raises(UsageError, match="nothing was kept") as raised:
        keep(nothing, ["cdua"], tmp_path / "evidence")
    assert raised.value.mistakes == ("no backend 'cdua' (did you mean 'cuda'?)",)
    assert not (tmp_path / "evidence").exists()


def test_a_void_run_is_no_evidence(tmp_path: Path) -> None:
    plan = miniatures.plan(places=[("cuda", "current")])
    found = report(tmp_path, plan, on_cuda(), tmp_path / "none", device=GPU)
    spoilt = found.shards[0].model_copy(update={"void": "canaries were not caught"})
    with pytest.raises(ResultsError, match="void: canaries were not caught"):
        keep(found.model_copy(update={"shards": (spoilt,)}), ["cuda"], tmp_path / "evidence")


def test_a_mistake_in_a_file_is_named_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "cuda.json").write_text('{"schema_version": 1, "backend": "cuda", "dvice": 1}')
    with pytest.raises(UsageError, match=r"cuda\.json") as raised:
        load_evidence(tmp_path)
    assert any("dvice" in one for one in raised.value.mistakes)


def test_what_is_in_the_repository_can_be_read() -> None:
    assert all(one.canaries_caught == one.canaries > 0 for one in load_configuration().evidence)
