"""The local engine with a uv that misbehaves, and children that end in every way."""

import dataclasses
import os
import signal
import stat
import sys
import threading
import time
from pathlib import Path

import pytest
import uv

from harness.engine import local
from harness.engine.images import Build
from harness.engine.local import COMPLETE, Environment, LocalEngine
from harness.engine.runtime import Job
from harness.errors import EnvironmentBrokenError
from harness.gpus import Gpus
from harness.matrix import Limits

# Makes an environment whose python is the shell script that the test wrote; logs its words; fails on demand.
UV = """#!/bin/sh
echo "$@" >> "$UV_LOG"
[ "$1" = venv ] && { mkdir -p "$4/bin"; cp "$UV_PYTHON" "$4/bin/python"; }
[ -z "$UV_FAILS" ] || { [ "$1" = venv ] || exit 2; }
"""
LIMITS = Limits(
    memory="1GiB", child_memory="1GiB", tmpfs="1GiB", shm="1GiB", pids=64, timeout_seconds=1  # type: ignore[arg-type]
)  # fmt: skip


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The words that uv gets."""
    script(tmp_path / "uv", UV)
    script(tmp_path / "python", "#!/bin/sh\nexit 0\n")
    monkeypatch.setattr(uv, "find_uv_bin", lambda: str(tmp_path / "uv"))
    monkeypatch.setenv("UV_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("UV_PYTHON", str(tmp_path / "python"))
    monkeypatch.setenv("UV_FAILS", "")
    return tmp_path / "log"


@pytest.fixture
def build(tmp_path: Path) -> Build:
    pins = tmp_path / "mine.txt"
    pins.write_text("transformers==5.23.0\n")
    return Build(
        backend="cpu", stack="mine", base_image="b", torch="pypi", pins=pins, index="http://i", torch_index="http://t"
    )  # fmt: skip


def script(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def environment(python: Path, build: Build) -> Environment:
    return Environment(python=python, stack=build.stack, torch="pypi")


def job(folder: Path) -> Job:
    return Job(shard="cpu/mine/1of1", folder=folder, words=("--jobs", "1"), limits=LIMITS)


def test_a_second_preparation_installs_nothing(log: Path, build: Build, tmp_path: Path) -> None:
    engine = LocalEngine(tmp_path / "stacks")
    first = engine.prepare(build)
    words = log.read_text()
    assert "venv" in words
    assert "--no-deps" in words
    assert engine.prepare(build) == first
    assert log.read_text() == words


def test_an_installation_that_failed_is_not_taken_for_a_whole_one(
    log: Path, build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = LocalEngine(tmp_path / "stacks")
    monkeypatch.setenv("UV_FAILS", "yes")
    with pytest.raises(EnvironmentBrokenError, match="uv pip install failed"):
        engine.prepare(build)
    monkeypatch.setenv("UV_FAILS", "")
    (place,) = (path for path in (tmp_path / "stacks").iterdir() if path.is_dir())
    (place / "half").touch()
    engine.prepare(build)
    assert not (place / "half").exists()
    assert (place / COMPLETE).is_file()


def test_changed_pins_make_another_environment(log: Path, build: Build, tmp_path: Path) -> None:
    engine = LocalEngine(tmp_path / "stacks")
    first = engine.prepare(build)
    build.pins.write_text("transformers==5.22.0\n")
    second = engine.prepare(build)
    assert first.label != second.label
    assert engine.prune([second]) == [first.label]


def test_the_cpu_build_takes_torch_from_its_own_index_and_the_rest_from_the_other(
    log: Path, build: Build, tmp_path: Path
) -> None:
    local.install(build, "cpu", tmp_path)
    torch, rest = log.read_text().splitlines()
    assert "--default-index http://t" in torch
    assert torch.endswith("torch-cpu.txt")
    assert "--default-index http://i" in rest
    assert "torch-base.txt" in rest


def test_the_child_gets_what_an_image_would_set(log: Path, build: Build, tmp_path: Path) -> None:
    out = tmp_path / "seen"
    python = script(tmp_path / "child", f'#!/bin/sh\nenv > {out}\necho "$@" >> {out}\n')
    assert environment(python, build).run(job(tmp_path)).code == 0
    seen = out.read_text()
    for line in ("HARNESS_ENGINE=local", "HARNESS_TORCH_BUILD=pypi", "HARNESS_STACK=mine", "HF_HUB_OFFLINE=1"):
        assert line in seen.splitlines()
    assert f"--plan {tmp_path}/plan.json --shard cpu/mine/1of1 --out {tmp_path} --jobs 1" in seen


def test_gpus_that_are_named_are_all_that_the_child_sees(build: Build, tmp_path: Path) -> None:
    out = tmp_path / "seen"
    python = script(tmp_path / "child", f'#!/bin/sh\necho "${{CUDA_VISIBLE_DEVICES-all}}" >> {out}\n')
    for gpus in (Gpus(), Gpus(ids=("1",)), None):
        environment(python, build).run(dataclasses.replace(job(tmp_path), gpus=gpus))
    assert out.read_text().split() == ["all", "1", "all"]


@pytest.mark.parametrize(("ending", "code"), [("exit 3", 3), ("kill -SEGV $$", 139), ("kill -KILL $$", 137)])
def test_exit_codes_are_passed_on(build: Build, tmp_path: Path, ending: str, code: int) -> None:
    python = script(tmp_path / "child", f"#!/bin/sh\n{ending}\n")
    assert environment(python, build).run(job(tmp_path)).code == code


def test_an_interrupt_ends_the_child_too(build: Build, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    python = script(tmp_path / "child", f"#!/bin/sh\necho $$ > {pid}.new; mv {pid}.new {pid}\nexec sleep 60\n")

    def interrupt_when_it_runs() -> None:
        while not pid.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt_when_it_runs).start()
    with pytest.raises(KeyboardInterrupt):
        environment(python, build).run(job(tmp_path))
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_installing_into_an_environment_of_the_callers_is_done_once(
    log: Path, build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "theirs"
    place.mkdir()
    local.install_into(build, place)
    words = log.read_text()
    local.install_into(build, place)
    assert log.read_text() == words
    assert sys.executable not in words


def test_output_that_somebody_shows_is_handed_over_whole_and_asks_for_progress(
    build: Build, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    python = script(tmp_path / "python", '#!/bin/sh\necho "out $HARNESS_PROGRESS"\necho err >&2\nexit 3\n')
    heard: list[str] = []
    ended = environment(python, build).run(dataclasses.replace(job(tmp_path), show=heard.append))
    assert ended.code == 3
    assert "".join(heard) == "out 1\nerr\n"
    assert capfd.readouterr().out == ""


def test_output_that_nobody_shows_is_ours_and_asks_for_none(
    build: Build, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    python = script(tmp_path / "python", '#!/bin/sh\necho "out $HARNESS_PROGRESS"\n')
    environment(python, build).run(job(tmp_path))
    assert capfd.readouterr().out == "out \n"
