"""Which engine is taken, which torch, and what is said about it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harness import engine
from harness.engine.images import Build
from harness.engine.runtime import Ended, Engine, Job, Runtime
from harness.engine.torch_build import choose_torch_build, index_answers
from harness.errors import EnvironmentBrokenError
from harness.records import EngineName


@dataclass
class Place:
    label: str

    def run(self, job: Job) -> Ended:
        raise AssertionError(f"{job} is not to be run here")


@dataclass
class Stand:
    """An engine that can fail to prepare a stack."""

    name: EngineName
    broken: str = ""
    prepared: list[str] = field(default_factory=list)

    def prepare(self, build: Build) -> Runtime:
        if self.broken == build.stack:
            raise EnvironmentBrokenError(f"{self.name} is broken", hint="kick it")
        self.prepared.append(build.stack)
        return Place(f"{self.name}:{build.stack}")

    def prune(self, needed: Sequence[Runtime]) -> list[str]:
        return [str(needed)]


def build(stack: str) -> Build:
    return Build(backend="cpu", stack=stack, base_image="b", torch="cpu", pins=Path("p"), index="i", torch_index="t")


BUILDS = [build("current"), build("older")]


def no_engine() -> Engine:
    raise EnvironmentBrokenError("no Docker engine answers", hint="start Docker")


def test_auto_takes_docker_where_it_works(capsys: pytest.CaptureFixture[str]) -> None:
    local = Stand("local")
    chosen, places = engine.prepare("auto", BUILDS, connect=lambda: Stand("docker"), local=lambda: local)
    assert (chosen.name, [place.label for place in places]) == ("docker", ["docker:current", "docker:older"])
    assert local.prepared == []
    assert capsys.readouterr().err == ""


def test_auto_without_an_engine_goes_on_locally_and_says_why_and_what_mends_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    chosen, _ = engine.prepare("auto", BUILDS, connect=no_engine, local=lambda: Stand("local"))
    assert chosen.name == "local"
    said = [line for line in capsys.readouterr().err.splitlines() if line]
    assert len(said) == 1
    assert "no Docker engine answers" in said[0]
    assert "start Docker" in said[0]
    assert "local engine" in said[0]


def test_auto_never_runs_half_of_a_plan_here_and_half_there() -> None:
    docker, local = Stand("docker", broken="older"), Stand("local")
    chosen, places = engine.prepare("auto", BUILDS, connect=lambda: docker, local=lambda: local)
    assert docker.prepared == ["current"]
    assert [place.label for place in places] == ["local:current", "local:older"]
    assert chosen is local


@pytest.mark.parametrize("broken", ["current", "older"])
def test_docker_is_strict(broken: str) -> None:
    with pytest.raises(EnvironmentBrokenError):
        engine.prepare("docker", BUILDS, connect=no_engine, local=lambda: Stand("local"))
    with pytest.raises(EnvironmentBrokenError, match="docker is broken"):
        engine.prepare("docker", BUILDS, connect=lambda: Stand("docker", broken=broken))


def test_local_does_not_even_look_for_an_engine() -> None:
    def connect() -> Engine:
        raise AssertionError("looked for an engine")

    chosen, _ = engine.prepare("local", BUILDS, connect=connect, local=lambda: Stand("local"))
    assert chosen.name == "local"


def test_local_that_breaks_is_told() -> None:
    with pytest.raises(EnvironmentBrokenError, match="local is broken"):
        engine.prepare("auto", BUILDS, connect=no_engine, local=lambda: Stand("local", broken="current"))


# --- torch ------------------------------------------------------------------------------------------------


def never(_index: str) -> bool:
    raise AssertionError("asked an index")


def test_cpu_wheels_are_taken_where_their_index_answers(capsys: pytest.CaptureFixture[str]) -> None:
    assert choose_torch_build("cpu", "http://t", lambda _: False, answers=lambda _: True) == "cpu"
    assert capsys.readouterr().err == ""


def test_pypis_build_in_place_of_cpu_wheels_is_said_loudly(capsys: pytest.CaptureFixture[str]) -> None:
    assert choose_torch_build("cpu", "http://t", lambda _: False, answers=lambda _: False) == "pypi"
    said = capsys.readouterr().err
    assert "***" in said
    assert "http://t does not answer" in said
    assert "MATRIX_TORCH_INDEX" in said


def test_what_is_built_is_used_without_asking_an_index(capsys: pytest.CaptureFixture[str]) -> None:
    assert choose_torch_build("cpu", "http://t", lambda one: one == "cpu", answers=never) == "cpu"
    assert capsys.readouterr().err == ""
    assert choose_torch_build("cpu", "http://t", lambda one: one == "pypi", answers=never) == "pypi"
    assert "***" in capsys.readouterr().err  # as loudly as the first time


def test_pypis_build_as_wanted_asks_nobody() -> None:
    assert choose_torch_build("pypi", "http://t", lambda _: False, answers=never) == "pypi"


def test_an_index_at_a_closed_port_does_not_answer() -> None:
    assert not index_answers("http://127.0.0.1:1/whl/cpu")
