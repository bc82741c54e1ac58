"""data/: every model type that is known, in its domain, with its families, recipe and expected duration."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final, get_args

from pydantic import Field

from harness.documents import Document
from harness.records import Api, Domain, Recipe, Way

DOMAINS: Final = get_args(Domain)
Ways = Mapping[str, dict[Api, Way]]
DISCOVERED: Final = "discovered"
"""The ways of types that no stack has yet."""


class Family(Document):
    """A name that people use, and the architectures behind it."""

    types: Annotated[tuple[str, ...], Field(min_length=1)]
    note: str = ""


class Unavailable(Document):
    """What people ask for by name and nobody can run here; its cells are ``not-applicable`` with this reason."""

    domain: Domain
    reason: Annotated[str, Field(min_length=1)]


@dataclass(frozen=True)
class Catalog:
    """All that data/ says of model types; every name in it is a key of ``domains``."""

    domains: Mapping[str, Domain]
    """Of every known type: those of the baseline, those that a stack has, and those that nobody can run."""
    stacks: Mapping[str, frozenset[str]]
    """The types that each stack's transformers has."""
    exported: Mapping[str, frozenset[str]]
    """The types that each stack's own exporter has; none where it has no exporter."""
    lists: Mapping[str, tuple[str, ...]]
    """Those of data/lists.toml, ``baseline``, ``families`` and ``all``."""
    families: Mapping[str, Family]
    features: Mapping[str, Mapping[str, str]]
    """By stack and type: words that differ where another release has changed the type."""
    registries: Mapping[str, frozenset[str]]
    """Those of them that their transformers was asked for, and can be asked for again."""
    unavailable: Mapping[str, Unavailable]
    recipes: Mapping[str, Recipe]
    seconds: Mapping[str, float]
    default_seconds: float
    ways: Mapping[str, Ways]
    """By the file's name, which is a stack's or ``discovered``: how each type was made to run."""

    def ways_of(self, model_type: str, stack: str) -> dict[Api, Way]:
        """How the type was made to run on the stack; else where it was discovered, before any stack had it."""
        for name in (stack, DISCOVERED):
            if found := self.ways.get(name, {}).get(model_type):
                return found
        return {}

    def families_of(self, model_type: str) -> tuple[str, ...]:
        """The names that people use for the type, in the order of data/families.toml."""
        return tuple(name for name, family in self.families.items() if model_type in family.types)

    def find_family(self, word: str) -> Family | None:
        """The family of this name; capitals, spaces, - and _ do not matter."""
        names = {plain(name): family for name, family in self.families.items()}
        return names.get(plain(word))

    def expected_seconds(self, model_type: str) -> float:
        """How long all cells of the type take on one stack, measured or by default."""
        return self.seconds.get(model_type, self.default_seconds)


def plain(name: str) -> str:
    """A family's name without what people write differently: ``Code Llama`` is ``codellama``."""
    return "".join(letter for letter in name.casefold() if letter not in " -_")
