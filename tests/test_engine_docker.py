"""The Docker engine's side against a stand-in that dies, complains, floods, hangs and babbles."""

import dataclasses
import io
import os
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from fakes import engine as fakes
from fakes.engine import FakeEngine
from harness.engine import containers, images
from harness.engine.docker import DockerEngine
from harness.engine.images import Build
from harness.errors import EnvironmentBrokenError

BASE = "debian:bookworm"


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeEngine]:
    with FakeEngine(tmp_path) as fake:
        monkeypatch.setenv("DOCKER_HOST", fake.url)
        yield fake


@pytest.fixture
def build(tmp_path: Path) -> Build:
    pins = tmp_path / "mine.txt"
    pins.write_text("transformers==5.23.0\n")
    return Build(
        backend="cpu", stack="mine", base_image=BASE, torch="pypi", pins=pins, index="http://i", torch_index="http://t"
    )  # fmt: skip


def prepare(build: Build) -> str:
    return DockerEngine.connect().prepare(build).label


def test_a_first_build_makes_three_images_and_a_second_one_none(engine: FakeEngine, build: Build) -> None:
    engine.images[BASE] = "sha256:base"
    first = prepare(build)
    assert engine.times("POST /build") == 3
    assert prepare(build) == first
    assert engine.times("POST /build") == 3


def test_packages_that_the_base_lacks_are_a_layer_of_their_own_below_torch(engine: FakeEngine, build: Build) -> None:
    engine.images[BASE] = "sha256:base"
    prepare(dataclasses.replace(build, system_packages=("python3", "gcc")))
    assert engine.times("POST /build") == 4
    system, torch, *_ = (tag for tag in engine.images if tag != BASE)
    assert system.startswith("model-matrix/system:")
    assert torch.startswith("model-matrix/torch:")


def test_changed_pins_of_the_stack_leave_torch_alone(engine: FakeEngine, build: Build) -> None:
    engine.images[BASE] = "sha256:base"
    first = prepare(build)
    build.pins.write_text("transformers==5.22.0\n")
    assert prepare(build) != first
    assert engine.times("POST /build") == 5


def test_install_stages_are_pruned_after_a_build_that_failed_too(engine: FakeEngine, build: Build) -> None:
    engine.images[BASE] = "sha256:base"
    engine.misbehave("POST /build", fakes.say({"stream": "Step 1\n"}, {"error": "no space left on device"}))
    with pytest.raises(EnvironmentBrokenError, match="no space left"):
        prepare(build)
    assert engine.times("POST /images/prune") == 1


def test_a_failed_step_is_told_with_the_end_of_the_log(engine: FakeEngine, build: Build) -> None:
    engine.images[BASE] = "sha256:base"
    flood = [{"stream": f"\x1b[91mline {number}\x1b[0m\n"} for number in range(5000)]
    engine.misbehave("POST /build", fakes.say(*flood, {"error": "exit code 1"}))
    with pytest.raises(EnvironmentBrokenError) as caught:
        prepare(build)
    told = str(caught.value)
    assert "line 4999" in told
    assert "line 4900" not in told
    assert "\x1b" not in told


def test_a_log_without_line_ends_is_shown_whole(
    engine: FakeEngine, build: Build, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.images[BASE] = "sha256:base"
    fragments = [{"stream": part} for part in ("Down", "loading", " torch\rDownloaded", " torch")]
    engine.misbehave("POST /build", fakes.say(*fragments))
    with pytest.raises(EnvironmentBrokenError, match="does not have it"):
        prepare(build)
    shown = capsys.readouterr().err
    assert "torch | Downloading torch\ntorch | Downloaded torch\n" in shown


def test_an_engine_that_dies_in_the_middle_of_a_build_is_told(engine: FakeEngine, build: Build) -> None:
    engine.images[BASE] = "sha256:base"
    engine.misbehave("POST /build", fakes.die_in_the_middle({"stream": "Step 1/9 : FROM x\n"}))
    with pytest.raises(EnvironmentBrokenError) as caught:
        prepare(build)
    assert "Step 1/9" in str(caught.value)


def test_an_engine_that_answers_500_to_a_build_is_told(engine: FakeEngine, build: Build) -> None:
    engine.images[BASE] = "sha256:base"
    engine.misbehave("POST /build", fakes.complain("devmapper: thin pool is full"))
    with pytest.raises(EnvironmentBrokenError, match="thin pool is full"):
        prepare(build)


def test_a_base_image_that_is_not_there_is_pulled(engine: FakeEngine, build: Build) -> None:
    prepare(build)
    assert engine.times("POST /images/create") == 1


@pytest.mark.parametrize(
    "answer",
    [
        fakes.complain("dial tcp: lookup registry: no such host"),
        fakes.complain("pull access denied, no such host", 404),
        fakes.say({"status": "Pulling"}, {"error": "unexpected EOF: no such host"}),
    ],
)
def test_a_pull_that_fails_names_what_mends_it(engine: FakeEngine, build: Build, answer: fakes.Answer) -> None:
    engine.misbehave("POST /images/create", answer)
    with pytest.raises(EnvironmentBrokenError, match="no such host") as caught:
        prepare(build)
    assert "ci/base-image" in caught.value.hint
    assert engine.times("POST /build") == 0


def test_a_pull_that_ends_without_an_image_is_told(engine: FakeEngine, build: Build) -> None:
    engine.misbehave("POST /images/create", fakes.say({"status": "Download complete"}))
    with pytest.raises(EnvironmentBrokenError, match="still not there"):
        prepare(build)


def test_no_engine_at_all_says_how_to_start_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path / 'nothing.sock'}")
    with pytest.raises(EnvironmentBrokenError, match="no Docker engine answers") as caught:
        DockerEngine.connect()
    assert "ci/engine start" in caught.value.hint


def test_an_engine_that_hangs_is_given_up(engine: FakeEngine) -> None:
    engine.misbehave("GET /version", fakes.hang(5))
    started = time.monotonic()
    with pytest.raises(EnvironmentBrokenError, match="no Docker engine answers"):
        DockerEngine.connect(seconds=1)
    assert time.monotonic() - started < 4


def test_something_else_behind_the_socket_is_no_engine(engine: FakeEngine) -> None:
    engine.misbehave("GET /version", fakes.babble)
    with pytest.raises(EnvironmentBrokenError, match="no Docker engine answers"):
        DockerEngine.connect()


def test_podman_is_refused_by_name(engine: FakeEngine) -> None:
    engine.version["Components"] = [{"Name": "Podman Engine"}]
    with pytest.raises(EnvironmentBrokenError, match="Podman"):
        DockerEngine.connect()


def test_windows_containers_are_refused(engine: FakeEngine) -> None:
    engine.version["Os"] = "windows"
    with pytest.raises(EnvironmentBrokenError, match="windows"):
        DockerEngine.connect()


# --- sweeping -----------------------------------------------------------------------------------------


def container(**changes: str) -> dict[str, object]:
    labels = containers.Parent.this().labels()
    return {"Config": {"Labels": labels | {f"model-matrix.{key}": value for key, value in changes.items()}}}


def test_only_containers_of_dead_parents_are_swept(engine: FakeEngine) -> None:
    engine.containers = {
        "mine": container(),
        "another-machines": container(machine="elsewhere", pid="1", started="0"),
        "not-ours-at-all": {"Config": {"Labels": {"model-matrix.pid": "what?"}}},
        "number-used-again": container(started=str(psutil.Process().create_time() - 3600)),
        "killed": container(pid=str(_unused_pid())),
    }
    DockerEngine.connect()
    assert sorted(engine.containers) == ["another-machines", "mine", "not-ours-at-all"]


def test_a_container_that_cannot_be_swept_does_not_stop_the_run(
    engine: FakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.containers = {"stuck": container(pid=str(_unused_pid()))}
    engine.misbehave("DELETE .*", fakes.complain("device or resource busy"))
    DockerEngine.connect()
    assert "device or resource busy" in capsys.readouterr().err


def _unused_pid() -> int:
    """The number of a process that has just ended."""
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return child


# --- what images are made of ----------------------------------------------------------------------------


def test_the_tag_changes_with_everything_that_goes_into_an_image(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    other = {
        "the parent": images.torch_layer(build, "pypi", "sha256:2"),
        "the torch build": images.torch_layer(build, "cpu", "sha256:1"),
        "the index": images.torch_layer(dataclasses.replace(build, index="http://other"), "pypi", "sha256:1"),
    }
    tag = images.torch_layer(build, "pypi", "sha256:1").tag
    assert tag.startswith("model-matrix/torch:pypi-")
    assert len({tag, *(layer.tag for layer in other.values())}) == 4


def test_a_ca_bundle_is_sent_to_the_build_and_does_not_change_what_is_built(build: Build, tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("-----BEGIN CERTIFICATE-----")
    without = images.stack_layer(build, "pypi", "sha256:1")
    given = images.stack_layer(dataclasses.replace(build, ca_bundle=bundle), "pypi", "sha256:1")
    assert given.tag == without.tag
    with tarfile.open(fileobj=io.BytesIO(given.context())) as context:
        assert set(context.getnames()) == {"ca.pem", "install", "pins.txt", "stack.Dockerfile", "uv.txt"}


def test_the_runs_image_holds_the_harness_and_nothing_else(build: Build) -> None:
    files = images.harness_layer(build, "pypi", "sha256:1").files
    assert "harness/__main__.py" in files
    assert {path.split("/")[0] for path in files} == {"harness", "harness.Dockerfile"}
    assert not any("__pycache__" in path for path in files)


def test_the_size_of_pypis_torch_is_known_and_of_pytorchs_own_is_not() -> None:
    known = images.download_bytes(images.torch_pins("pypi"))
    assert known is not None
    assert known > 2e9
    assert images.download_bytes(images.torch_pins("cpu")) is None
