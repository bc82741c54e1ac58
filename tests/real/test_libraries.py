"""Types of other libraries, where this environment has them: what their cells prove must be able to fail."""

import subprocess
import sys
from pathlib import Path

import pytest

from harness import ROOT
from harness.cell import outputs
from harness.cell.executors.on_torch import check_keys
from harness.cell.libraries import OfLibrary
from harness.configuration import load_configuration
from harness.records import PlannedType

pytestmark = pytest.mark.models


def source_of(model_type: str) -> tuple[OfLibrary, PlannedType]:
    recipe = load_configuration().catalog.recipes[model_type]
    assert recipe.elsewhere is not None
    pytest.importorskip(recipe.elsewhere.library.replace("-", "_"))
    planned = PlannedType(model_type=model_type, domain="other", recipe=recipe, expected_seconds=1)
    return OfLibrary(recipe, recipe.elsewhere, "tiny"), planned


def lose_a_weight(folder: Path) -> None:
    """From the one file of weights, which torch-geometric's mixin writes with pickle."""
    import torch
    from safetensors.torch import load_file, save_file

    (file,) = [*folder.glob("*.safetensors"), *folder.glob("*.pth")]
    load, save = (load_file, save_file) if file.suffix == ".safetensors" else (torch.load, torch.save)
    tensors = load(file)
    tensors.pop(next(iter(tensors)))
    save(tensors, file)


@pytest.mark.parametrize("model_type", ["audioldm2", "vqgan", "graphsage"])
def test_a_lost_weight_is_seen_when_the_librarys_own_from_pretrained_loads(model_type: str, tmp_path: Path) -> None:
    source, planned = source_of(model_type)
    checkpoint = source.prepare(planned, source.task(planned), tmp_path).checkpoint
    lose_a_weight(tmp_path)
    with pytest.raises((outputs.MismatchError, RuntimeError), match=r"(?i)missing"):
        check_keys(checkpoint.loader.from_pretrained(tmp_path, output_loading_info=True)[1])


@pytest.mark.parametrize("model_type", ["audioldm2", "vqgan"])
def test_a_pipeline_is_all_of_the_librarys_own_and_holds_what_was_saved(model_type: str, tmp_path: Path) -> None:
    source, planned = source_of(model_type)
    task = source.pipeline_task(planned)
    checkpoint, processors = source.prepare_pipeline(planned, task, tmp_path)
    pipe = checkpoint.open_pipeline(task.name, model=str(tmp_path), device="cpu")
    assert type(pipe).__name__ == task.auto_class
    assert {role: type(part).__name__ for role, part in pipe.components.items()} == processors.classes


@pytest.mark.parametrize("has_gpu", [False, True])
def test_the_parent_imports_the_library_unless_there_is_a_gpu_that_it_could_open(has_gpu: bool, tmp_path: Path) -> None:
    pytest.importorskip("torch_geometric")
    device = tmp_path / "nvidia-uvm"
    if has_gpu:
        device.touch()
    lines = (
        "import sys",
        "from harness.cell import warm",
        f"warm._CUDA_DEVICE = {str(device)!r}",
        "from harness.configuration import load_configuration",
        "from harness.records import PlannedType",
        "recipe = load_configuration().catalog.recipes['graphsage']",
        "warm.warm([PlannedType(model_type='graphsage', domain='graph', recipe=recipe, expected_seconds=1)])",
        "print('torch_geometric' in sys.modules)",
    )
    words = [sys.executable, "-c", "\n".join(lines)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == str(not has_gpu)
