"""Reads data/: all files checked against each other and against the matrix, every mistake told with its place."""

from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

from pydantic import Field

from harness import ROOT
from harness.catalog import DISCOVERED, DOMAINS, Catalog, Family, Unavailable, Ways, plain
from harness.documents import Document, check_document, counted, read_data
from harness.errors import UsageError, suggest
from harness.matrix import Matrix, duplicates
from harness.records import Api, Domain, Recipe, Way

Model = TypeVar("Model", bound=Document)
Row = TypeVar("Row")


class _Names(Document):
    """A file that is one array. A model needs a name for it, which is not told with the mistakes."""

    rows: tuple[str, ...]


class _Rows(Document, Generic[Row]):
    """A file that maps names to rows; the same holds for it."""

    rows: dict[str, Row]


class _Durations(Document):
    default_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    seconds: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]]


class _Registry(Document):
    """What ``python -m harness.cell.registry`` prints."""

    transformers: str
    types: dict[str, Domain]
    exported: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """The tasks that the stack's exporter has a type for."""
    features: dict[str, str] = Field(default_factory=dict)
    """By type: its classes and a digest of its config's fields, for what has changed in another release."""
    by_hand: bool = False
    """Types of other libraries, which no transformers can be asked for."""


class _Reader:
    """Reads files and keeps every mistake with its file, so that all are told at once."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.mistakes: list[str] = []
        self.known: Sequence[str] | None = None
        """Every model type, once the files that name them were read without a mistake."""

    def read(self, name: str, model: type[Model]) -> Model | None:
        """The file below data/ as a ``model``, or nothing where it has mistakes."""
        try:
            data = read_data(self.data_dir / name)
        except UsageError as error:
            self.mistakes.append(error.message)
            return None
        return self._check(name, {"rows": data} if model is _Names else data, model)

    def read_rows(self, name: str, model: type[_Rows[Row]]) -> dict[str, Row | None]:
        """The rows by name, nothing for a row with mistakes: the others are checked further all the same."""
        try:
            data = read_data(self.data_dir / name)
        except UsageError as error:
            self.mistakes.append(error.message)
            return {}
        read = {key: self._check(name, {"rows": {key: row}}, model) for key, row in data.items()}
        return {key: one.rows[key] if one else None for key, one in read.items()}

    def _check(self, name: str, data: Any, model: type[Model]) -> Model | None:
        try:
            return check_document(data, model, self.data_dir / name)
        except UsageError as error:
            for mistake in error.mistakes:
                self.add(name, mistake.removeprefix("rows.").replace("rows:", "the whole file:", 1))
            return None

    def add(self, name: str, mistake: str) -> None:
        self.mistakes.append(f"{self.data_dir / name}: {mistake}")

    def check_types(self, name: str, place: str, words: Iterable[str]) -> None:
        """A mistake for each word that is no known model type, or stands there twice."""
        words = list(words)
        for word in dict.fromkeys(words):
            if self.known is not None and word not in self.known:
                self.add(name, f"{place}: no model type {word!r}{suggest(word, self.known)}")
        for word in duplicates(words):
            self.add(name, f"{place}: {word!r} stands there twice")


def load_catalog(matrix: Matrix | None, data_dir: Path = ROOT / "data") -> Catalog:
    """All files of data/, checked against each other and the matrix; ``UsageError`` with all mistakes.

    Without a matrix (it has mistakes of its own) data/ is checked alone.
    """
    reader = _Reader(data_dir)
    baseline = _baseline(reader)
    registries = _registries(reader, matrix)
    stacks = {stack: frozenset(registry.types) for stack, registry in registries.items()}
    somewhere = {*baseline, *(name for types in stacks.values() for name in types)}
    unavailable = _unavailable(reader, somewhere)
    everything = sorted(somewhere | unavailable.keys())
    if not reader.mistakes:
        reader.known = everything
    durations = _durations(reader)
    families = _families(reader)
    of_families = tuple(sorted({name for family in families.values() for name in family.types}))
    catalog = Catalog(
        domains=_domains(reader, baseline, registries) | {name: one.domain for name, one in unavailable.items()},
        stacks=stacks,
        exported={stack: frozenset(registry.exported) for stack, registry in registries.items()},
        features={stack: registry.features for stack, registry in registries.items()},
        registries={stack: stacks[stack] for stack, registry in registries.items() if not registry.by_hand},
        lists={"baseline": baseline, "families": of_families, "all": tuple(everything)} | _lists(reader),
        families=families,
        unavailable=unavailable,
        recipes=_recipes(reader, matrix),
        seconds=durations.seconds,
        default_seconds=durations.default_seconds,
        ways=_ways(reader, matrix),
    )
    if matrix and (selection := matrix.defaults.selection) not in catalog.lists:
        near = suggest(selection, catalog.lists)
        reader.mistakes.append(f"matrix.toml: defaults.selection: no list {selection!r}{near}")
    if reader.mistakes:
        raise UsageError(f"{counted(reader.mistakes)} in the configuration", mistakes=reader.mistakes)
    return catalog


def _present(rows: Mapping[str, Row | None]) -> dict[str, Row]:
    """The rows without mistakes."""
    return {key: row for key, row in rows.items() if row is not None}


def _baseline(reader: _Reader) -> tuple[str, ...]:
    file = "huggingface_model_types.json"
    names = reader.read(file, _Names)
    if names is None:
        return ()
    reader.check_types(file, "the whole file", names.rows)
    return names.rows


def _registries(reader: _Reader, matrix: Matrix | None) -> dict[str, _Registry]:
    """What each stack knows. The files must be those of the matrix's stacks, made with their transformers."""
    files = sorted(path.stem for path in (reader.data_dir / "stacks").glob("*.json"))
    registries = {}
    for stack in dict.fromkeys(files if matrix is None else [*matrix.stacks, *files]):
        file = f"stacks/{stack}.json"
        if matrix and stack not in matrix.stacks:
            near = suggest(stack, matrix.stacks)
            reader.add(file, f"the whole file: no stack {stack!r} in matrix.toml{near}")
        elif registry := reader.read(file, _Registry):
            registries[stack] = registry
            wanted = matrix.stacks[stack].transformers if matrix else registry.transformers
            if registry.transformers != wanted:
                reader.add(file, f"transformers: {registry.transformers}, but matrix.toml says {wanted}")
    return registries


def _unavailable(reader: _Reader, somewhere: Set[str]) -> dict[str, Unavailable]:
    """The names that no package has. One that the baseline or a stack has can be run, and does not belong there."""
    file = "unavailable.toml"
    read = reader.read_rows(file, _Rows[Unavailable])
    rows = _present(read)
    for name in rows.keys() & somewhere:
        reader.add(file, f"{name}: a model type of this name is in the baseline or in a stack")
    return rows


def _domains(reader: _Reader, baseline: Iterable[str], registries: Mapping[str, _Registry]) -> dict[str, Domain]:
    """The derived domains of the stacks, an earlier stack before a later one, corrected by hand."""
    file = "domains.toml"
    read = reader.read_rows(file, _Rows[tuple[str, ...]])
    rows = _present(read)
    corrected: dict[str, Domain] = {}
    for word, types in rows.items():
        domain = next((known for known in DOMAINS if known == word), None)
        if domain is None:
            reader.add(file, f"{word}: no such domain{suggest(word, DOMAINS)}")
            continue
        reader.check_types(file, word, types)
        for name in dict.fromkeys(types):
            if name in corrected:
                reader.add(file, f"{word}: {name!r} stands in {corrected[name]} too")
            corrected[name] = domain
    derived: dict[str, Domain] = {}
    for registry in registries.values():
        derived = registry.types | derived
    domains = derived | corrected
    if reader.known is not None:
        for name in baseline:
            if name not in domains:
                reader.add(file, f"the whole file: no domain for {name!r}, which no stack has")
    return domains


def _lists(reader: _Reader) -> dict[str, tuple[str, ...]]:
    file = "lists.toml"
    read = reader.read_rows(file, _Rows[tuple[str, ...]])
    rows = _present(read)
    for name, types in rows.items():
        if name in ("baseline", "families", "all"):
            reader.add(file, f"{name}: a list of this name is built in")
        if not types:
            reader.add(file, f"{name}: empty")
        reader.check_types(file, name, types)
    return rows


def _families(reader: _Reader) -> dict[str, Family]:
    file = "families.toml"
    read = reader.read_rows(file, _Rows[Family])
    rows = _present(read)
    first: dict[str, str] = {}
    for name, family in rows.items():
        reader.check_types(file, f"{name}.types", family.types)
        same = first.setdefault(plain(name), name)
        if same != name:
            reader.add(file, f"{name}: the same name as {same!r}, written differently")
    return rows


def _recipes(reader: _Reader, matrix: Matrix | None) -> dict[str, Recipe]:
    """The recipes of all files in recipes/; the files only keep them in an order that people find their way in."""
    recipes: dict[str, Recipe | None] = {}
    place: dict[str, str] = {}
    for path in sorted((reader.data_dir / "recipes").glob("*.toml")):
        file = f"recipes/{path.name}"
        rows = reader.read_rows(file, _Rows[Recipe])
        reader.check_types(file, "the whole file", rows)
        for name, recipe in rows.items():
            if place.setdefault(name, file) != file:
                reader.add(file, f"{name}: has a recipe in {place[name]} too")
            if recipe and matrix:
                _check_places(reader, file, name, recipe, matrix)
            recipes[name] = recipe
    return _present(recipes)


def _check_places(reader: _Reader, file: str, name: str, recipe: Recipe, matrix: Matrix) -> None:
    """What a recipe says of backends and stacks is of ones that there are."""
    said: tuple[tuple[str, str, Iterable[str], Mapping[str, object]], ...] = (
        ("tolerances", "backend", recipe.tolerances, matrix.backends),
        ("broken_on", "stack", recipe.broken_on, matrix.stacks),
        ("config_on", "stack", recipe.config_on, matrix.stacks),
    )
    for key, kind, places, known in said:
        for place in places:
            if place not in known:
                reader.add(file, f"{name}.{key}: no {kind} {place!r} in matrix.toml{suggest(place, known)}")


def _ways(reader: _Reader, matrix: Matrix | None) -> dict[str, Ways]:
    """The ways that searches found, a file for each stack."""
    ways: dict[str, Ways] = {}
    for path in sorted((reader.data_dir / "ways").glob("*.json")):
        file, stack = f"ways/{path.name}", path.stem
        rows = reader.read_rows(file, _Rows[dict[Api, Way]])
        if stack != DISCOVERED:
            reader.check_types(file, "the whole file", rows)
            if matrix and stack not in matrix.stacks:
                near = suggest(stack, matrix.stacks)
                reader.add(file, f"the whole file: no stack {stack!r} in matrix.toml{near}")
        ways[stack] = _present(rows)
    if matrix:  # a stack with the very transformers of another has its ways
        for stack, row in matrix.stacks.items():
            same = (other for other in ways if other in matrix.stacks)
            twin = next((one for one in same if matrix.stacks[one].transformers == row.transformers), None)
            if stack not in ways and twin is not None:
                ways[stack] = ways[twin]
    return ways


def _durations(reader: _Reader) -> _Durations:
    file = "durations.toml"
    durations = reader.read(file, _Durations) or _Durations(default_seconds=1.0, seconds={})
    reader.check_types(file, "seconds", durations.seconds)
    return durations
