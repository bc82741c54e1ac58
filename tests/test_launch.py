"""launch with a stand-in engine whose shards end in every way, and a stand-in report that counts its calls."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harness import ROOT, __main__, launch, report
from harness.engine.images import Build
from harness.engine.runtime import Ended, Engine, Job, Runtime
from harness.errors import EnvironmentBrokenError
from harness.gpus import Gpus
from harness.matrix import load_matrix
from harness.records import EngineName, Plan

SMALL = ("cpu", "--types", "bert,gpt2")


@dataclass
class Stand:
    """An engine, and the one place that it makes ready. ``end`` is what happens when a shard runs."""

    name: EngineName = "docker"
    label: str = "model-matrix/cpu-current:cpu-0"
    end: Callable[[Job], Ended] = lambda job: Ended(code=0)
    jobs: list[Job] = field(default_factory=list)

    def prepare(self, build: Build) -> Runtime:
        return self

    def prune(self, needed: Sequence[Runtime]) -> list[str]:
        return []

    def run(self, job: Job) -> Ended:
        self.jobs.append(job)
        return self.end(job)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Stand:
    stand = Stand()

    def prepare(choice: str, builds: list[Build]) -> tuple[Engine, list[Runtime]]:
        return stand, [stand.prepare(build) for build in builds]

    monkeypatch.setattr(launch, "prepare", prepare)
    return stand


@pytest.fixture
def reported(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders that were reported on; the report finds nothing to complain about."""
    calls: list[Path] = []

    def build(results: Path, out: Path, *, plan: Plan | None = None) -> int:
        calls.append(results)
        return 0

    monkeypatch.setattr(report, "build", build)
    return calls


def launched(out: Path, *words: str) -> int:
    return __main__.main(["launch", *words, "--out", str(out)])


def old_results(out: Path, shard: str = "cpu/current/1of1") -> Path:
    folder = out / shard
    folder.mkdir(parents=True)
    (folder / "results.jsonl").write_text("old\n")
    return folder / "results.jsonl"


def test_the_shard_finds_its_plan_in_its_folder(engine: Stand, reported: list[Path], tmp_path: Path) -> None:
    assert launched(tmp_path, *SMALL) == 0
    (job,) = engine.jobs
    assert job.shard == "cpu/current/1of1"
    assert job.folder == tmp_path / "cpu/current/1of1"
    plan = Plan.model_validate_json((job.folder / "plan.json").read_text())
    assert plan.planned_shards == {"cpu/current/1of1": ("bert", "gpt2")}
    assert reported == [tmp_path]


def test_shards_run_one_after_the_other_and_are_reported_together(
    engine: Stand, reported: list[Path], tmp_path: Path
) -> None:
    assert launched(tmp_path, *SMALL, "--shards", "2") == 0
    assert [job.shard for job in engine.jobs] == ["cpu/current/1of2", "cpu/current/2of2"]
    assert reported == [tmp_path]


def test_one_shard_of_several_is_not_reported_as_if_it_were_all(
    engine: Stand, reported: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert launched(tmp_path, *SMALL, "--shard", "2/2") == 0
    assert [job.shard for job in engine.jobs] == ["cpu/current/2of2"]
    assert reported == []
    assert "nox -s report" in capsys.readouterr().err


def test_words_for_the_run_go_on_to_it(engine: Stand, reported: list[Path], tmp_path: Path) -> None:
    assert launched(tmp_path, *SMALL, "--jobs", "3", "--timeout", "7.5") == 0
    assert engine.jobs[0].words == ("--jobs", "3", "--timeout", "7.5")


def test_gpus_go_to_the_shard_that_needs_them_and_to_no_other(
    engine: Stand, reported: list[Path], tmp_path: Path
) -> None:
    assert launched(tmp_path, *SMALL) == 0
    assert launched(tmp_path, "cuda", "--types", "bert", "--allow-no-device") == 0
    assert launched(tmp_path, "cuda", "--types", "bert", "--gpus", "device=1") == 0
    assert [job.gpus for job in engine.jobs] == [None, Gpus(), Gpus(ids=("1",))]
    assert engine.jobs[1].words[-1] == "--allow-no-device"
    assert "--allow-no-device" not in engine.jobs[2].words


def plan_file(tmp_path: Path, *words: str) -> Path:
    path = tmp_path / "given.json"
    assert __main__.main(["plan", "--backend", "cpu", *words, "--out", str(path)]) == 0
    return path


def test_a_plan_that_is_given_is_run_as_it_is(engine: Stand, reported: list[Path], tmp_path: Path) -> None:
    plan = plan_file(tmp_path, "--types", "bert,gpt2,t5", "--shards", "2")
    assert launched(tmp_path, "cpu", "--plan", str(plan)) == 0
    assert [job.shard for job in engine.jobs] == ["cpu/current/1of2", "cpu/current/2of2"]
    assert (engine.jobs[0].folder / "plan.json").read_text() == plan.read_text()
    assert reported == [tmp_path]


@pytest.mark.parametrize("shard", ["2/2", "cpu/current/2of2"])
def test_one_shard_of_a_given_plan_says_how_to_merge(
    engine: Stand, reported: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], shard: str
) -> None:
    plan = plan_file(tmp_path, "--types", "bert,gpt2,t5", "--shards", "2")
    assert launched(tmp_path, "cpu", "--plan", str(plan), "--shard", shard) == 0
    assert [job.shard for job in engine.jobs] == ["cpu/current/2of2"]
    assert reported == []
    assert f"nox -s report -- --results {tmp_path} --plan {plan}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--types", "bert"), "says already what to run"),
        (("--shards", "2"), "says already what to run"),
        (("--shard", "3/2"), "no shard '3/2'"),
        (("--shard", "cpu/current/1of3"), "did you mean 'cpu/current/1of2'"),
    ],
)
def test_words_that_do_not_go_with_a_plan_start_nothing(
    engine: Stand, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], told: str
) -> None:
    plan = plan_file(tmp_path, "--types", "bert,gpt2,t5", "--shards", "2")
    assert launched(tmp_path, "cpu", "--plan", str(plan), *words) == 2
    assert engine.jobs == []
    assert told in capsys.readouterr().err


def test_a_plan_of_other_backends_or_stacks_is_told(
    engine: Stand, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = plan_file(tmp_path, "--types", "bert")
    plan.write_text(plan.read_text().replace('"cpu', '"cpv').replace('"current"', '"curent"'))
    assert launched(tmp_path, "cpu", "--plan", str(plan)) == 2
    assert "no backend 'cpu' in it (did you mean 'cpv'?)" in capsys.readouterr().err
    assert launched(tmp_path, "cpv", "--plan", str(plan)) == 2
    told = capsys.readouterr().err
    assert "no backend 'cpv' in matrix.toml (did you mean 'cpu'?)" in told
    assert "the stack 'curent' is not in matrix.toml (did you mean 'current'?)" in told
    assert engine.jobs == []


def test_a_plan_file_that_is_none_is_told(engine: Stand, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert launched(tmp_path, "cpu", "--plan", str(tmp_path / "absent.json")) == 2
    assert "no such file" in capsys.readouterr().err
    (tmp_path / "half.json").write_text('{"selection": "list')
    assert launched(tmp_path, "cpu", "--plan", str(tmp_path / "half.json")) == 2
    assert "not valid JSON" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ("cpu", "--types", "brt"),
        ("cpuu",),
        ("cpu", "--shard", "3/2"),
        ("cpu", "--jobs", "-1"),
        ("cpu", "--timeout", "0"),
        ("cpu", "--budget", "-5"),
        ("cuda", "--variants", "float8"),
        ("cpu", "--gpus", "all"),
        ("cuda", "--gpus", "some"),
        ("cpu", "--torch-build", "rocm"),
        ("cpu", "--ca-bundle", "/no/such/file.pem"),
    ],
)
def test_wrong_words_start_nothing_and_overwrite_nothing(
    engine: Stand, reported: list[Path], tmp_path: Path, words: tuple[str, ...]
) -> None:
    old = old_results(tmp_path)
    assert launched(tmp_path, *words) == 2
    assert engine.jobs == []
    assert old.read_text() == "old\n"
    assert [path.name for path in old.parent.iterdir()] == ["results.jsonl"]


def test_a_broken_engine_overwrites_nothing(
    reported: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepare(choice: str, builds: list[Build]) -> None:
        raise EnvironmentBrokenError("no Docker engine answers")

    monkeypatch.setattr(launch, "prepare", prepare)
    old = old_results(tmp_path)
    assert launched(tmp_path, *SMALL, "--engine", "docker") == 3
    assert old.read_text() == "old\n"


def test_old_results_are_gone_when_the_new_run_starts(engine: Stand, reported: list[Path], tmp_path: Path) -> None:
    old = old_results(tmp_path)
    seen: list[bool] = []

    def end(job: Job) -> Ended:
        seen.append(old.exists())
        return Ended(code=0)

    engine.end = end
    assert launched(tmp_path, *SMALL) == 0
    assert seen == [False]


def test_resume_leaves_results_of_the_same_plan_to_the_run(engine: Stand, reported: list[Path], tmp_path: Path) -> None:
    assert launched(tmp_path, *SMALL) == 0
    old = tmp_path / "cpu/current/1of1/results.jsonl"
    old.write_text("half\n")
    assert launched(tmp_path, *SMALL, "--resume") == 0
    assert old.read_text() == "half\n"
    assert "--resume" in engine.jobs[1].words


def test_resume_refuses_results_of_another_plan_and_leaves_them_whole(
    engine: Stand, reported: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert launched(tmp_path, *SMALL) == 0
    plan = tmp_path / "cpu/current/1of1/plan.json"
    before = plan.read_text()
    assert launched(tmp_path, "cpu", "--types", "t5", "--resume") == 2
    assert plan.read_text() == before
    assert len(engine.jobs) == 1
    assert "--types bert,gpt2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("ended", "code", "told"),
    [
        (Ended(code=3), 3, ""),
        (Ended(code=130), 130, ""),
        (Ended(code=137, out_of_memory=True), 3, "ran out of its"),
        (Ended(code=137), 3, "ended with 137"),
        (Ended(code=139), 3, "ended with 139"),
        (Ended(code=1), 3, "ended with 1,"),
        (Ended(code=0, out_of_memory=True), 0, ""),
    ],
)
def test_how_a_shard_ended_is_how_launch_ends(
    engine: Stand,
    reported: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    ended: Ended,
    code: int,
    told: str,
) -> None:
    engine.end = lambda job: ended
    assert launched(tmp_path, *SMALL, "--shards", "2") == code
    assert len(engine.jobs) == 2  # the other shard runs all the same
    assert reported == [tmp_path]  # and what there is, is reported
    assert told in capsys.readouterr().err


def test_the_reports_verdict_is_launchs(engine: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "build", lambda results, out, plan: 1)
    assert launched(tmp_path, *SMALL) == 1


def test_an_interrupt_is_130_and_no_report(engine: Stand, reported: list[Path], tmp_path: Path) -> None:
    def end(job: Job) -> Ended:
        raise KeyboardInterrupt

    engine.end = end
    assert launched(tmp_path, *SMALL) == 130
    assert reported == []


def test_a_mistake_in_matrix_toml_starts_nothing(
    engine: Stand,
    reported: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from harness import configuration

    shutil.copytree(ROOT / "data", tmp_path / "data")
    text = (ROOT / "matrix.toml").read_text()
    (tmp_path / "matrix.toml").write_text(text.replace("base_image =", "base_imgae ="))
    monkeypatch.setattr(launch, "load_configuration", lambda: configuration.load_configuration(tmp_path))
    assert launched(tmp_path, *SMALL) == 2
    assert engine.jobs == []
    assert "did you mean 'base_image'" in capsys.readouterr().err


def test_the_schema_that_is_published_is_that_of_the_records(capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["schema"]) == 0
    published = json.loads((ROOT / "docs" / "results.schema.json").read_text())
    assert json.loads(capsys.readouterr().out) == published, "python -m harness schema > docs/results.schema.json"


def test_a_wrong_verb_is_told_with_the_right_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["lanch"]) == 2
    assert "did you mean 'launch'" in capsys.readouterr().err


def test_without_words_the_verbs_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main([]) == 0
    shown = capsys.readouterr().out
    assert all(verb in shown for verb in __main__.VERBS)


def test_the_folder_of_real_weights_is_handed_to_the_run_and_the_network_is_not(
    engine: Stand, reported: list[Path], tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "bert"}')
    (folder / "model.safetensors").write_bytes(b"not read here")
    assert launched(tmp_path / "out", "cpu", "--weights", str(folder)) == 0
    (job,) = engine.jobs
    assert job.weights == folder
    assert job.download is None
    full = load_matrix().backends["cpu"].full
    assert job.limits == full


def test_full_scale_runs_under_limits_of_its_own_and_with_neither(
    engine: Stand, reported: list[Path], tmp_path: Path
) -> None:
    assert launched(tmp_path, *SMALL, "--scale", "full") == 0
    (job,) = engine.jobs
    assert (job.weights, job.download) == (None, None)
    assert job.limits == load_matrix().backends["cpu"].full
