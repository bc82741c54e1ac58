"""matrix.toml: what it may hold, what the environment overrides, and how its mistakes are told."""

import argparse
import re
from pathlib import Path

import pytest

from harness import ROOT
from harness.errors import UsageError
from harness.matrix import (
    OVERRIDES,
    Matrix,
    add_override_arguments,
    ca_bundle,
    load_matrix,
    overrides_from,
    parse_size,
    with_overrides,
)

RIGHT = (ROOT / "matrix.toml").read_text(encoding="utf-8")


def edited(tmp_path: Path, *edits: tuple[str, str]) -> Path:
    """A copy of the repository's own matrix.toml with some text replaced."""
    text = RIGHT
    for old, new in edits:
        assert old in text, f"the edit of {old!r} would change nothing"
        text = text.replace(old, new, 1)
    path = tmp_path / "matrix.toml"
    path.write_text(text, encoding="utf-8")
    return path


def mistakes(path: Path) -> tuple[str, ...]:
    with pytest.raises(UsageError) as caught:
        load_matrix(path)
    assert str(caught.value).startswith(f"{path}: {len(caught.value.mistakes)} mistake")
    return caught.value.mistakes


def test_the_repositorys_own_matrix_loads() -> None:
    matrix = load_matrix()
    cpu = matrix.backends["cpu"]
    assert cpu.limits.memory == 8 * 2**30
    assert cpu.limits.child_memory == 2 * 2**30
    assert (cpu.device, cpu.tolerance, cpu.torch) == ("cpu", 0.0, "cpu")
    assert matrix.ca_bundle is None


def test_every_pins_file_that_a_stack_names_is_there() -> None:
    assert [stack.pins for stack in load_matrix().stacks.values() if not (ROOT / stack.pins).is_file()] == []


def test_the_pins_of_a_stack_have_its_transformers() -> None:
    for stack in load_matrix().stacks.values():
        pins = (ROOT / stack.pins).read_text(encoding="utf-8")
        assert re.search(rf"^transformers=={re.escape(stack.transformers)}[ \n\\]", pins, re.MULTILINE)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("8GiB", 8 * 2**30), ("512 MiB", 2**29), ("1B", 1), ("3KiB", 3072), ("1TiB", 2**40)],
)
def test_sizes_are_read_as_bytes(text: str, expected: int) -> None:
    assert parse_size(text) == expected


@pytest.mark.parametrize("text", ["8GB", "8G", "GiB", "0GiB", "-1GiB", "1.5GiB", "", "8GiB ", 8, None, True])
def test_what_is_no_size_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="a size is a string like"):
        parse_size(text)


def test_a_wrong_key_names_its_place_and_the_nearest_key(tmp_path: Path) -> None:
    path = edited(tmp_path, ("timeout_seconds = 120", "timeout_secs = 120"))
    assert mistakes(path) == (
        "backends.cpu.limits.timeout_seconds: required, and not there",
        "backends.cpu.limits.timeout_secs: unknown key (did you mean 'timeout_seconds'?)",
    )


def test_a_wrong_type_is_told(tmp_path: Path) -> None:
    path = edited(tmp_path, ("pids = 1024", 'pids = "1024"'))
    assert mistakes(path) == ("backends.cpu.limits.pids: Input should be a valid integer, not '1024'",)


def test_a_wrong_value_is_told(tmp_path: Path) -> None:
    path = edited(tmp_path, ('torch = "cpu"', 'torch = "gpu"'))
    assert mistakes(path) == ("backends.cpu.torch: Input should be 'cpu' or 'pypi', not 'gpu'",)


def test_a_wrong_size_is_told(tmp_path: Path) -> None:
    path = edited(tmp_path, ('shm = "1GiB"', 'shm = "1GB"'))
    assert mistakes(path) == ('backends.cpu.limits.shm: a size is a string like "8GiB" or "512MiB", not \'1GB\'',)


def test_a_stack_that_is_not_there_is_told_with_the_nearest(tmp_path: Path) -> None:
    path = edited(tmp_path, ('stacks = ["current"', 'stacks = ["curent"'))
    assert mistakes(path) == ("backends.cpu.stacks: no stack 'curent' (did you mean 'current'?)",)


def test_a_stack_named_twice_is_told(tmp_path: Path) -> None:
    path = edited(tmp_path, ('stacks = ["current"', 'stacks = ["current", "current"'))
    assert mistakes(path) == ("backends.cpu.stacks: 'current' stands there twice",)


def test_a_child_larger_than_its_container_is_told(tmp_path: Path) -> None:
    path = edited(tmp_path, ('child_memory = "2GiB"', 'child_memory = "9GiB"'))
    assert mistakes(path) == ("backends.cpu.limits.child_memory: more than the memory of the container, 8GiB",)


def test_gpus_and_system_packages_that_no_engine_takes_are_told(tmp_path: Path) -> None:
    path = edited(tmp_path, ('gpus = "all"', 'gpus = "some"'), ('"python3-venv"', '"python3; rm"'))
    assert [mistake.split(":")[0] for mistake in mistakes(path)] == [
        "backends.cuda.system_packages.1",
        "backends.cuda.gpus",
    ]


def test_a_backend_whose_name_is_no_folder_is_told(tmp_path: Path) -> None:
    tables = ("[backends.cpu]", "[backends.cpu.limits]", "[backends.cpu.full]")
    path = edited(tmp_path, *((table, table.replace("cpu", '"../cpu"')) for table in tables))
    assert [mistake.split(":")[0] for mistake in mistakes(path)] == ["backends.../cpu.[key]"]


def test_mistakes_of_all_kinds_are_told_at_once(tmp_path: Path) -> None:
    path = edited(
        tmp_path,
        ("jobs = 0", "jobs = -1"),
        ('stacks = ["current"', 'stacks = ["curent"'),
        ("base_image", "base_imgae"),
        ('memory = "8GiB"', 'memory = "1GiB"'),
        ("tolerance = 0.0", "tolerance = nan"),
    )
    assert mistakes(path) == (
        "defaults.jobs: Input should be greater than or equal to 0, not -1",
        "backends.cpu.base_image: required, and not there",
        "backends.cpu.tolerance: Input should be a finite number, not nan",
        "backends.cpu.base_imgae: unknown key (did you mean 'base_image'?)",
        "backends.cpu.stacks: no stack 'curent' (did you mean 'current'?)",
        "backends.cpu.limits.child_memory: more than the memory of the container, 1GiB",
    )


def test_a_file_of_another_shape_is_told_and_does_not_crash(tmp_path: Path) -> None:
    path = tmp_path / "matrix.toml"
    path.write_text('stacks = 1\nbackends = ["cpu"]\n')
    assert set(mistakes(path)) == {
        "defaults: required, and not there",
        "indexes: required, and not there",
        "stacks: Input should be an object, not 1",
        "backends: Input should be an object, not ['cpu']",
    }


# --- overrides ----------------------------------------------------------------------------------------


@pytest.fixture
def matrix() -> Matrix:
    return load_matrix()


def test_nothing_in_the_environment_changes_nothing(matrix: Matrix) -> None:
    assert with_overrides(matrix, {}) == matrix
    assert with_overrides(matrix, dict.fromkeys(OVERRIDES, "")) == matrix


def test_every_override_changes_its_own_place_and_no_other(matrix: Matrix, tmp_path: Path) -> None:
    values = {
        "MATRIX_BASE_IMAGE": "debian:local",
        "MATRIX_TORCH_BUILD": "pypi",
        "MATRIX_PYTHON_INDEX": "https://mirror.example/simple",
        "MATRIX_TORCH_INDEX": "https://mirror.example/torch",
        "MATRIX_CA_BUNDLE": str(tmp_path / "ca.pem"),
    }
    assert values.keys() == OVERRIDES.keys()
    places = {
        "MATRIX_BASE_IMAGE": lambda one: [backend.base_image for backend in one.backends.values()],
        "MATRIX_TORCH_BUILD": lambda one: [backend.torch for backend in one.backends.values()],
        "MATRIX_PYTHON_INDEX": lambda one: [one.indexes.python],
        "MATRIX_TORCH_INDEX": lambda one: [one.indexes.torch_cpu],
        "MATRIX_CA_BUNDLE": lambda one: [one.ca_bundle],
    }
    for variable, value in values.items():
        changed = with_overrides(matrix, {variable: value})
        assert set(places[variable](changed)) == {value}
        for other in places.keys() - {variable}:
            assert places[other](changed) == places[other](matrix)


def test_a_base_image_of_ones_own_needs_nothing_of_what_the_files_lacks(matrix: Matrix) -> None:
    assert matrix.backends["cuda"].system_packages
    assert with_overrides(matrix, {"MATRIX_BASE_IMAGE": "debian:local"}).backends["cuda"].system_packages == ()


def test_a_wrong_torch_build_in_the_environment_is_told(matrix: Matrix) -> None:
    with pytest.raises(UsageError) as caught:
        with_overrides(matrix, {"MATRIX_TORCH_BUILD": "gpu"})
    assert str(caught.value) == "MATRIX_TORCH_BUILD: Input should be 'cpu' or 'pypi', not 'gpu'"


def test_an_option_goes_before_its_variable() -> None:
    parser = argparse.ArgumentParser()
    add_override_arguments(parser)
    options = parser.parse_args(["--base-image", "from-option"])
    environ = {"MATRIX_BASE_IMAGE": "from-environment", "MATRIX_TORCH_BUILD": "pypi", "HOME": "/"}
    assert overrides_from(options, environ) == {
        "MATRIX_BASE_IMAGE": "from-option",
        "MATRIX_TORCH_BUILD": "pypi",
    }


def test_every_override_is_in_the_documentation() -> None:
    documented = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert [name for name in OVERRIDES if f"`{name}`" not in documented] == []


# --- certificates -------------------------------------------------------------------------------------


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    path.write_text("certificates")
    return path


def test_without_any_setting_there_is_no_bundle(matrix: Matrix) -> None:
    assert ca_bundle(matrix, {}) is None


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT"])
def test_the_well_known_variables_name_the_bundle(matrix: Matrix, bundle: Path, variable: str) -> None:
    assert ca_bundle(matrix, {variable: str(bundle)}) == bundle


def test_the_setting_goes_before_the_well_known_variables(matrix: Matrix, bundle: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    other.write_text("others")
    environ = {"MATRIX_CA_BUNDLE": str(bundle), "SSL_CERT_FILE": str(other)}
    assert ca_bundle(with_overrides(matrix, environ), environ) == bundle


def test_a_folder_of_certificates_is_passed_over(matrix: Matrix, bundle: Path, tmp_path: Path) -> None:
    environ = {"REQUESTS_CA_BUNDLE": str(tmp_path), "PIP_CERT": str(bundle)}
    assert ca_bundle(matrix, environ) == bundle


@pytest.mark.parametrize(("variable", "named"), [("MATRIX_CA_BUNDLE", "ca_bundle"), ("SSL_CERT_FILE", "SSL_CERT_FILE")])
def test_a_bundle_that_is_not_there_is_told(matrix: Matrix, tmp_path: Path, variable: str, named: str) -> None:
    environ = {variable: str(tmp_path / "gone.pem")}
    with pytest.raises(UsageError) as caught:
        ca_bundle(with_overrides(matrix, environ), environ)
    assert str(caught.value) == f"{named}: no such file: {tmp_path / 'gone.pem'}"
