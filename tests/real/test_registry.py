"""data/stacks/ against the transformers that is installed."""

import importlib.metadata
import importlib.util
import subprocess
import sys

import pytest

from harness import ROOT
from harness.matrix import load_matrix

pytestmark = pytest.mark.models


def test_what_the_installed_transformers_and_exporter_have_is_what_data_holds() -> None:
    installed = importlib.metadata.version("transformers")
    files = {
        name: ROOT / "data" / "stacks" / f"{name}.json"
        for name, stack in load_matrix().stacks.items()
        if stack.transformers == installed
    }
    # A stack of other libraries has transformers too, and none of its types.
    registries = [text for file in files.values() if '"bert"' in (text := file.read_text(encoding="utf-8"))]
    exporter = importlib.util.find_spec("optimum") is not None
    registries = [text for text in registries if ('"exported"' in text) == exporter]
    assert registries, f"no stack of matrix.toml has the types of transformers {installed}, exporter: {exporter}"
    made = subprocess.run(
        [sys.executable, "-m", "harness.cell.registry"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    for registry in registries:
        assert made.stdout == registry
