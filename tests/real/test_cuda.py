"""On a real NVIDIA GPU: what is proved there, what goes wrong there, and what a run makes of it.

This process is the warm parent of the runs, and the place from which children are forked: it never touches CUDA.
"""

import argparse
import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from harness import ROOT, run
from harness.cell.draft import Draft
from harness.cell.executors import cuda
from harness.cell.executors.same_draws import SameDraws
from harness.cell.speed import measure_forward
from harness.configuration import load_configuration
from harness.device_faults import fault_of
from harness.plan import make_plan
from harness.records import Cell, Execution
from harness.selection import Selection
from harness.stream import ShardResults, read_results

MIB = 2**20
SHARD = "cuda/current/1of1"
EXECUTION = Execution(device="cuda", tolerance=1e-4, timeout_seconds=60, child_memory_bytes=2**33)


def why_none() -> str | None:
    """Why nothing here can be tried; None where a GPU is."""
    if torch.version.cuda is None:
        return f"torch {torch.__version__} has no CUDA in it"
    smi = shutil.which("nvidia-smi")
    listed = smi and subprocess.run([smi, "-L"], capture_output=True, text=True, check=False).stdout
    return None if listed and "GPU 0" in listed else "nvidia-smi lists no GPU here"


pytestmark = [pytest.mark.cuda, pytest.mark.skipif(why_none() is not None, reason=str(why_none()))]


def measure(folder: Path, types: str, *words: str) -> tuple[int, ShardResults]:
    configuration = load_configuration()
    plan = make_plan(
        configuration.matrix, configuration.catalog, Selection(types=tuple(types.split(","))), backends=("cuda",)
    )
    (folder / "plan.json").write_text(plan.to_json())
    parser = argparse.ArgumentParser()
    run.add_arguments(parser)
    where = ["--plan", str(folder / "plan.json"), "--shard", SHARD, "--out", str(folder), "--jobs", "4"]
    code = run.main(parser.parse_args([*where, *words]))
    return code, read_results(folder / "results.jsonl")


def in_child(function: Callable[[], Any]) -> Any:
    """What the function returns in a fork of this process, or raises there."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(function)


@pytest.fixture
def neighbour() -> Iterator[int]:
    """Another process that uses the GPU, by its number."""
    words = "import torch, sys; held = torch.zeros(2**20, device='cuda'); print('ready', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", words], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process.pid
        process.kill()


def test_a_passed_cell_proves_where_it_ran_and_the_header_says_on_what_and_beside_whom(
    tmp_path: Path, neighbour: int
) -> None:
    code, found = measure(tmp_path, "bert,gpt2", "--variants", "float16,bfloat16,tf32,sdpa,compile")
    assert code == 0
    assert found.footer is not None
    assert found.footer.canaries_caught == found.footer.canaries == 6
    assert found.header is not None
    device = found.header.environment.device
    assert device is not None
    assert device.capability
    assert device.driver
    assert device.versions.keys() >= {"CUDA", "cuDNN"}
    assert any(f"process {neighbour} " in other for other in device.shared_with)
    assert [cell.outcome for cell in found.cells] == ["passed"] * 4
    for cell in found.cells:
        assert cell.proof is not None
        assert cell.proof.output_devices == cell.proof.parameter_devices == ("cuda:0",)
        assert device.name in str(cell.proof.execution_device)
        assert cell.comparison is not None
        assert cell.comparison.max_relative <= 1e-4
        figures = cell.metrics
        assert 0 < (figures.device_peak_allocated_bytes or 0) <= (figures.device_peak_reserved_bytes or 0)
        assert figures.device_process_bytes is None or figures.device_process_bytes > 100 * MIB
        if cell.api == "from_pretrained":
            assert cell.comparison.max_relative > 0  # to the bit it would be the CPU's own
            check_variants(cell)


def check_variants(cell: Cell) -> None:
    variants = {one.name: one for one in cell.metrics.variants}
    assert list(variants) == ["float16", "bfloat16", "tf32", "sdpa", "compile"]
    assert {name: one.refused for name, one in variants.items() if one.refused} == {}
    errors = {name: one.max_relative or 0 for name, one in variants.items()}
    assert errors["bfloat16"] > errors["float16"] > 1e-5 > errors["sdpa"]
    assert all(one.latency is not None and (one.speedup or 0) > 0 for one in variants.values())


def wild() -> None:
    """A kernel writes where nothing is."""
    held = torch.zeros(4, device="cuda")
    source = 'extern "C" __global__ void wild(float* given) { given[1LL << 40] = 1; }'
    torch.cuda._compile_kernel(source, "wild")((1, 1, 1), (1, 1, 1), (held,))
    torch.cuda.synchronize()


def out_of_range() -> None:
    """A check in a kernel fails."""
    table = torch.zeros(4, 4, device="cuda")
    torch.nn.functional.embedding(torch.tensor([99], device="cuda"), table)
    torch.cuda.synchronize()


def too_much() -> None:
    """More than any GPU has."""
    torch.empty(2**42, device="cuda")


FAULTS = {"bert": wild, "gpt2": out_of_range, "vit": too_much}


def test_a_fault_on_the_gpu_costs_its_own_cell_and_the_next_starts_clean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoilt(draft: Draft, *rest: Any) -> None:
        FAULTS[draft.planned.model_type]()
        measure_forward(draft, *rest)

    monkeypatch.setattr("harness.cell.from_pretrained.measure_forward", spoilt)
    code, found = measure(tmp_path, ",".join(FAULTS))
    assert code == 0
    outcomes = {(cell.model_type, cell.api): cell.outcome for cell in found.cells}
    assert outcomes == {
        ("bert", "from_pretrained"): "crashed",
        ("gpt2", "from_pretrained"): "failed",
        ("vit", "from_pretrained"): "out-of-memory",
        **{(name, "pipeline"): "passed" for name in FAULTS},
    }
    assert all(cell.failure is None or cell.failure.hint for cell in found.cells)


def test_where_no_gpu_is_shown_nothing_runs_on_the_cpu_instead(tmp_path: Path) -> None:
    words = ["run", "--backend", "cuda", "--types", "bert", "--out", str(tmp_path)]
    hidden = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}
    done = subprocess.run(
        [sys.executable, "-m", "harness", *words], cwd=ROOT, env=hidden, capture_output=True, text=True, check=False
    )
    assert done.returncode == 3, done.stderr
    assert "NO DEVICE: there is no such GPU here. To mend: " in done.stdout
    [results] = tmp_path.rglob("results.jsonl")
    assert [cell.outcome for cell in read_results(results).cells] == ["no-device"] * 2


def test_a_parent_in_which_something_opened_the_gpu_forks_nothing() -> None:
    opened = "import ctypes; assert ctypes.CDLL('libcuda.so.1').cuInit(0) == 0"  # as a library would, past torch
    warm = "from harness.cell.warm import warm; warm()"
    done = subprocess.run(
        [sys.executable, "-c", f"{opened}; {warm}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "EnvironmentBrokenError: an import opened the GPU" in done.stderr


def products() -> tuple[float, float]:
    """The error of a product of float32 matrices, as cells compute it, and with TF32."""
    device = cuda.settled(EXECUTION)
    torch.manual_seed(1)
    one, other = torch.randn(512, 512), torch.randn(512, 512)
    exact = one.double() @ other.double()

    def error() -> float:
        found = (one.to(device) @ other.to(device)).cpu().double()
        return float((found - exact).abs().max() / exact.abs().max())

    plain = error()
    torch.backends.cuda.matmul.allow_tf32 = True
    return plain, error()


def test_products_have_all_of_float32() -> None:
    plain, tf32 = in_child(products)
    assert plain < 1e-6
    assert tf32 > 1e-5


def draws(device: str) -> list[torch.Tensor]:
    torch.manual_seed(5)
    given = torch.full((4, 6), 0.5, device=device)
    return [
        torch.rand(2, 3, device=device),
        torch.rand_like(given),
        torch.bernoulli(given),
        torch.nn.functional.dropout(given, 0.3, training=True),
        given.clone().uniform_(-1, 1),
        torch.randperm(7, device=device),
    ]


def draws_on_the_gpu() -> list[Any]:
    place = cuda.settled(EXECUTION)
    with SameDraws(place):
        found = draws("cuda")
    assert all(one.device == place for one in found)
    assert cuda.has_drawn(place) is False
    return [one.tolist() for one in found]


def test_random_numbers_are_the_cpus_wherever_they_are_needed() -> None:
    assert in_child(draws_on_the_gpu) == [one.tolist() for one in draws("cpu")]


def taken_beyond_its_share() -> str | None:
    cuda.settled(EXECUTION.model_copy(update={"device_memory_bytes": 256 * MIB}))
    try:
        torch.empty(512 * MIB, dtype=torch.uint8, device="cuda")
    except RuntimeError as error:
        fault = fault_of(error)
        return fault.outcome if fault else str(error)
    return None


def test_a_child_has_its_share_of_the_memory_and_no_more() -> None:
    assert in_child(taken_beyond_its_share) == "out-of-memory"
