"""The benchmark of isolation: what it says of the ways that were measured, and that unequal work is seen."""

import time
from pathlib import Path

import pytest

import miniatures as mini
from harness.__main__ import main
from harness.bench import LIST, _bars
from harness.bench.records import FULL, Benchmark, Machine, Way, markdown
from harness.bench.ways import Bench, _timed, _way
from harness.configuration import load_configuration
from harness.engine.local import Environment

MACHINE = Machine(
    cpu="A processor", cores=2, memory_bytes=2**34, system="Linux", python="3.12.3", packages={"torch": "2.13.0"},
    torch_build="cpu", load_before=0.1, load_after=1.0,
)  # fmt: skip


def way(name: str, seconds: float, **changes: object) -> Way:
    values = {
        "name": name, "about": "so", "types": FULL, "jobs": 1, "seconds": seconds, "cpu_seconds": seconds,
        "outcomes": {"passed": 2},
    }  # fmt: skip
    return Way.model_validate(values | changes)


def benchmark(*ways: Way, types: int = FULL) -> Benchmark:
    return Benchmark(
        started_at="now", machine=MACHINE, stack="current", types=tuple(f"type{n}" for n in range(types)), ways=ways,
        bars=_bars(*ways[:4]),
    )  # fmt: skip


MEASURED = (way("two", 30), way("one", 55), way("cold", 400), way("together", 40))


def test_a_bar_is_the_ratio_of_two_ways_and_says_whether_it_is_met() -> None:
    first, second = benchmark(*MEASURED).bars
    assert (first.value, first.met) == (0.075, True)
    assert (second.value, second.met) == (1.375, False)
    text = markdown(benchmark(*MEASURED))
    assert "0.075 (limit 0.1): met" in text
    assert "1.375 (limit 1.3): NOT met" in text


def test_fewer_types_are_not_judged() -> None:
    text = markdown(benchmark(*MEASURED, types=6))
    assert "not judged below 60 types" in text
    assert "NOT met" not in text


def test_work_that_was_not_the_same_is_named() -> None:
    plan = mini.plan(("bert", "gpt2"))
    configuration = load_configuration()
    place = Environment(python=Path("python"), stack="current", torch="cpu")
    bench = Bench(plan, place, configuration.matrix.backends["cpu"].limits, Path())
    ours = {"bert pipeline": mini.cell("bert", "pipeline"), "gpt2 pipeline": mini.cell("gpt2", "pipeline")}
    other = mini.cell("gpt2", "pipeline")
    assert other.proof is not None
    wrong = other.proof.model_copy(update={"outputs_sha256": "f" * 64})
    with _timed() as spent:
        pass
    theirs = {"bert pipeline": ours["bert pipeline"], "gpt2 pipeline": other.model_copy(update={"proof": wrong})}
    assert _way("w", "", bench, 1, spent, ours, ours).unequal_cells == ()
    assert _way("w", "", bench, 1, spent, theirs, ours).unequal_cells == ("gpt2 pipeline",)
    assert _way("w", "", bench, 1, spent, {}, ours).unequal_cells == ("bert pipeline", "gpt2 pipeline")


def test_a_block_is_timed_by_the_wall() -> None:
    with _timed() as spent:
        time.sleep(0.05)
    assert spent.wall == pytest.approx(0.05, abs=0.04)


def test_the_list_has_as_many_types_as_the_bars_need() -> None:
    assert len(load_configuration().catalog.lists[LIST]) == FULL


def test_more_types_than_there_are_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--types", "61"]) == 2
    assert "the list 'isolation' has 60" in capsys.readouterr().err
