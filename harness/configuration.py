"""matrix.toml and data/ together, so that the mistakes of all files are told at once, before anything starts."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from harness import ROOT
from harness.catalog import Catalog
from harness.catalog_files import load_catalog
from harness.documents import counted
from harness.errors import UsageError
from harness.evidence import Evidence, load_evidence
from harness.expectations import Expectations, load_expectations
from harness.matrix import Matrix, load_matrix

T = TypeVar("T")


@dataclass(frozen=True)
class Configuration:
    """All that people have written down on what to run, how, and what to expect."""

    matrix: Matrix
    catalog: Catalog
    expectations: Expectations
    evidence: tuple[Evidence, ...] = ()


def load_configuration(root: Path = ROOT) -> Configuration:
    """The files below ``root``; ``UsageError`` with the mistakes of all of them."""
    mistakes: list[str] = []
    files = (root / "matrix.toml", root / "data", root / "data" / "expectations", root / "data" / "evidence")
    matrix = _try(lambda: load_matrix(files[0]), files[0], mistakes)
    # What cannot be read leaves the others to be checked alone, without the names that it would have given.
    catalog = _try(lambda: load_catalog(matrix, files[1]), None, mistakes)
    expectations = _try(lambda: load_expectations(files[2], matrix=matrix, catalog=catalog), None, mistakes)
    evidence = _try(lambda: load_evidence(files[3]), None, mistakes)
    if matrix is None or catalog is None or expectations is None or evidence is None:
        raise UsageError(f"{counted(mistakes)} in the configuration", mistakes=mistakes)
    return Configuration(matrix, catalog, expectations, evidence)


def _try(load: Callable[[], T], path: Path | None, mistakes: list[str]) -> T | None:
    """What ``load`` returns, or nothing, its mistakes added with their file (none where they name it themselves)."""
    try:
        return load()
    except UsageError as error:
        mistakes += [f"{path}: {mistake}" if path else mistake for mistake in error.mistakes] or [error.message]
        return None
