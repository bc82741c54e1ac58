"""The line that runs a cell again: what it says, and that the words in it are words that are taken."""

import argparse
import shlex
from pathlib import Path

import pytest

from harness import ROOT, launch
from harness.launch import add_arguments
from harness.records import Execution, Weights
from harness.reproduce import PLACE, reproduce_line
from miniatures import EXECUTION, environment

WEIGHTS = Weights(name="a folder/x", source="folder", digest="0" * 64, trust_remote_code=True)


def parsed(line: str) -> argparse.Namespace:
    """As the session and the verb take it; an unknown word ends the test."""
    program, flag, session, dashes, *words = shlex.split(line)
    assert (ROOT / program).is_file()
    assert (flag, dashes) == ("-s", "--")
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_arguments(parser)
    return parser.parse_args([session, *words])


def changed(**changes: object) -> Execution:
    return EXECUTION.model_copy(update=changes)


def test_the_line_names_type_backend_and_stack_and_leaves_other_results_alone() -> None:
    options = parsed(reproduce_line("bert", "cpu", "current"))
    assert (options.backend, options.types, options.stack) == ("cpu", ["bert"], "current")
    assert options.out == Path(PLACE)
    assert options.engine == "auto"


def test_a_run_without_containers_is_run_again_without() -> None:
    assert parsed(reproduce_line("bert", "cpu", "current", environment=environment())).engine == "local"
    docker = environment(engine="docker")
    assert parsed(reproduce_line("bert", "cpu", "current", environment=docker)).engine == "auto"


def test_what_is_installed_is_run_again_with_the_same_python() -> None:
    options = parsed(reproduce_line("bert", "cpu", "installed", environment=environment()))
    assert Path(options.python).is_file()
    assert launch._installed_python(options) is not None


def test_a_timeout_and_variants_that_are_not_the_plans_are_in_the_line() -> None:
    options = parsed(
        reproduce_line(
            "bert", "cpu", "current", planned=EXECUTION, execution=changed(timeout_seconds=5, variants=("bfloat16",))
        )
    )
    assert options.timeout == 5
    assert options.variants == ["bfloat16"]
    same = parsed(reproduce_line("bert", "cpu", "current", planned=EXECUTION, execution=EXECUTION))
    assert (same.timeout, same.variants) == (None, None)


@pytest.mark.parametrize("scale", ["tiny", "full"])
def test_the_scale_is_in_the_line_where_it_is_not_the_usual_one(scale: str) -> None:
    line = reproduce_line("bert", "cpu", "current", scale=scale)  # type: ignore[arg-type] # one of the two
    assert ("--scale full" in line) == (scale == "full")


def test_names_with_spaces_are_quoted() -> None:
    options = parsed(reproduce_line("bert", "cpu", "current", weights=WEIGHTS))
    assert options.weights == "a folder/x"
    assert options.trust_remote_code is True
