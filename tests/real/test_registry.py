"""data/stacks/ against the transformers that is installed."""

import importlib.metadata
import subprocess
import sys

import pytest

from harness import ROOT
from harness.matrix import load_matrix

pytestmark = pytest.mark.models


def test_the_registry_of_the_installed_transformers_is_what_data_holds() -> None:
    installed = importlib.metadata.version("transformers")
    stacks = [name for name, stack in load_matrix().stacks.items() if stack.transformers == installed]
    assert stacks, f"no stack of matrix.toml has transformers {installed}"
    made = subprocess.run(
        [sys.executable, "-m", "harness.cell.registry"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    for stack in stacks:
        assert made.stdout == (ROOT / "data" / "stacks" / f"{stack}.json").read_text(encoding="utf-8")
