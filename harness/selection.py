"""The user's words on what to run: the options, what they mean, and every mistake in them."""

import argparse
import difflib
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, get_args

from harness.catalog import DOMAINS, Catalog, plain
from harness.errors import UsageError, suggest
from harness.matrix import Matrix
from harness.records import RuntimeName, Scale, VariantName
from harness.weights import SYNTHETIC, Found


@dataclass(frozen=True)
class Selection:
    """The user's words on what to run, not yet checked; all absent: the matrix's default list."""

    types: tuple[str, ...] = ()
    families: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    list: str | None = None
    stack: str | None = None
    shard: str | None = None
    """``K/N`` or a shard's id: the caller runs this one of the plan's shards."""
    shards: int | None = None
    scale: Scale = "tiny"
    weights: str | None = None
    """A folder or an id on the hub; absent or ``synthetic``: none that are real."""
    trust_remote_code: bool = False

    @property
    def real(self) -> str | None:
        """The words for real weights, where real ones are meant."""
        return None if self.weights == SYNTHETIC else self.weights

    def described(self, default_list: str) -> str:
        """In the user's words, and the same whether or not the default was spelt out."""
        named = bool(self.types or self.families or self.real)
        listed = self.list or (None if named else default_list)
        parts = [
            f"list {listed}" if listed else "",
            f"--types {','.join(self.types)}" if self.types else "",
            *(f"--family {shlex.quote(family)}" for family in self.families),
            *(f"--domain {domain}" for domain in self.domains),
            f"--stack {self.stack}" if self.stack else "",
            *self.described_weights(),
        ]
        return " ".join(part for part in parts if part)

    def described_weights(self) -> tuple[str, ...]:
        """The words that say which weights of which size."""
        return (
            *(("--scale full",) if self.scale == "full" else ()),
            *((f"--weights {shlex.quote(self.real)}",) if self.real else ()),
            *(("--trust-remote-code",) if self.trust_remote_code else ()),
        )


def add_selection_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that choose what to run and how it is split: shared by ``plan`` and ``launch``."""
    group = parser.add_argument_group(
        "what to run",
        "--types, --family and --list add up; with none of them the default list of matrix.toml runs. "
        "--domain then keeps only what is in that domain.",
    )
    group.add_argument("--types", action="append", metavar="A,B", help="model types, as transformers calls them")
    group.add_argument(
        "--family", action="append", metavar="F",
        help="a name that people use (data/families.toml); may be repeated",
    )  # fmt: skip
    group.add_argument(
        "--domain", action="append", metavar="D",
        help=f"only types of this domain ({', '.join(DOMAINS)}); may be repeated",
    )  # fmt: skip
    group.add_argument(
        "--list", metavar="L", help="a list of data/lists.toml, 'baseline' (the 300) or 'all' (all known types)"
    )
    group.add_argument(
        "--stack", metavar="S",
        help="only this stack of the backend; 'installed' for the packages that are there; or FILE.txt, your own pins",
    )  # fmt: skip
    group.add_argument(
        "--scale", choices=get_args(Scale), default="tiny",
        help="tiny: shrunk; full: the default size of each type, with random weights. Default: tiny",
    )  # fmt: skip
    group.add_argument(
        "--weights", metavar="W",
        help="a real checkpoint: a folder, or an id on the hub (owner/name, owner/name@revision). Default: synthetic",
    )  # fmt: skip
    group.add_argument(
        "--trust-remote-code", action="store_true", help="run the Python code that the checkpoint of --weights brings"
    )
    group.add_argument("--shards", type=int, metavar="N", help="split the plan into N shards")
    group.add_argument(
        "--shard", metavar="K/N", help="split the plan into N shards and run only the Kth (or the one of this id)"
    )


def selection_from(options: argparse.Namespace) -> Selection:
    """The options of ``add_selection_arguments`` as a selection; each word once, in the user's order."""
    return Selection(
        types=words(options.types),
        families=words(options.family),
        domains=words(options.domain),
        list=options.list,
        stack=options.stack,
        shard=options.shard,
        shards=options.shards,
        scale=options.scale,
        weights=options.weights,
        trust_remote_code=options.trust_remote_code,
    )


def words(given: list[str] | None) -> tuple[str, ...]:
    """The comma-separated words of a repeatable option, each once, in the user's order.

    An option without a word in it (``--types "$UNSET"``) gives '', which is no name of anything and is told
    as such: taken for an option that was not used, it would start something else than was meant.
    """
    if given is None:
        return ()
    split = (word.strip() for text in given for word in text.split(","))
    return tuple(dict.fromkeys(word for word in split if word)) or ("",)


def selected_types(catalog: Catalog, selection: Selection, default_list: str) -> list[str]:
    """The types that the selection, which is without mistakes, means: sorted, each once."""
    named = bool(selection.types or selection.families)
    listed = selection.list or (None if named else default_list)
    types = {*selection.types, *(catalog.lists[listed] if listed else ())}
    for word in selection.families:
        family = catalog.find_family(word)
        types.update(family.types if family else ())
    return sorted(name for name in types if not selection.domains or catalog.domains[name] in selection.domains)


def wrong_words(matrix: Matrix, catalog: Catalog, selection: Selection, backends: Sequence[str]) -> list[str]:
    """Every word of the selection that means nothing."""
    types, families = catalog.domains, {plain(name): name for name in catalog.families}
    lists = () if selection.list is None else (selection.list,)
    mistakes = [
        *_unknown("--backend: no backend", backends, matrix.backends),
        *_unknown("--types: no model type", selection.types, types),
        *_unknown("--domain: no domain", selection.domains, DOMAINS),
        *_unknown("--list: no list", lists, catalog.lists),
    ]
    for word in selection.families:
        if plain(word) not in families:
            near = difflib.get_close_matches(plain(word), families, n=1)
            hint = f" (did you mean {families[near[0]]!r}?)" if near else ""
            mistakes.append(f"--family: no family {word!r}{hint}")
    for name in backends:
        # Where the backend itself is a mistake, its stack can at least be one of the file's.
        stacks = matrix.backends[name].stacks if name in matrix.backends else tuple(matrix.stacks)
        if selection.stack and selection.stack not in stacks:
            near_stack = suggest(selection.stack, stacks)
            mistakes.append(f"--stack: the backend {name} has no stack {selection.stack!r}{near_stack}")
    return mistakes


def wrong_weights(selection: Selection, found: Found | None, catalog: Catalog) -> list[str]:
    """What cannot go together with real weights, or without them; ``found`` is what ``--weights`` names."""
    if found is None:
        return (
            ["--trust-remote-code: there is no --weights whose code it could be"] if selection.trust_remote_code else []
        )
    mistakes = [
        f"{option} and --weights: the model type follows from the checkpoint, which is {found.model_type}"
        for option, given in (
            ("--list", selection.list), ("--family", selection.families), ("--domain", selection.domains),
        )
        if given
    ]  # fmt: skip
    if selection.types and selection.types != (found.model_type,):
        named = ",".join(selection.types)
        mistakes.append(f"--types {named}: the model type of {selection.weights} is {found.model_type}")
    if selection.scale != "tiny":
        mistakes.append("--scale and --weights: real weights have the size that they have")
    if found.model_type not in catalog.domains and not (found.brings_code and selection.trust_remote_code):
        hint = "; it brings its own code, which --trust-remote-code runs" if found.brings_code else ""
        near = suggest(found.model_type, catalog.domains)
        mistakes.append(f"--weights: no stack has the model type {found.model_type!r}{near}{hint}")
    return mistakes


def _unknown(what: str, words: Iterable[str], known: Iterable[str]) -> list[str]:
    known = list(known)
    return [f"{what} {word!r}{suggest(word, known)}" for word in words if word not in known]


def shard_count(selection: Selection) -> tuple[int, list[str]]:
    """How many shards the words ask for, and what is wrong with those words."""
    mistakes = []
    count = 1 if selection.shards is None else selection.shards
    if count < 1:
        mistakes.append(f"--shards: {count} is less than 1")
    if selection.shard is None:
        return count, mistakes
    match = re.fullmatch(r"(\d+)/(\d+)", selection.shard) or re.fullmatch(r".+/(\d+)of(\d+)", selection.shard)
    if match is None:
        mistakes.append(f"--shard: {selection.shard!r} is not K/N, as 1/4, nor the id of a shard")
        return count, mistakes
    index, of = int(match[1]), int(match[2])
    if of < 1:
        mistakes.append(f"--shard: {selection.shard!r}: there is no such split")
    elif not 1 <= index <= of:
        mistakes.append(f"--shard: {selection.shard!r}: there are shards 1 to {of}")
    if selection.shards is not None and selection.shards != of:
        mistakes.append(f"--shard {selection.shard} and --shards {selection.shards} disagree")
    return of, mistakes


# --- how it is run --------------------------------------------------------------------------------

VARIANTS: Final[dict[RuntimeName, tuple[VariantName, ...]]] = {
    "torch": ("float16", "bfloat16", "tf32", "eager", "sdpa", "flash_attention_2", "compile"),
    "openvino": (
        *("float16", "bfloat16", "weights-float16", "weights-int8", "weights-int4"),
        *("latency", "throughput"),
    ),
}
"""By runtime, the other ways to run a checkpoint that it has."""


def add_budget_argument(parser: argparse._ActionsContainer) -> None:
    """The option that ends a run in time: shared by ``run`` and ``launch``."""
    parser.add_argument(
        "--budget", type=float, metavar="S",
        help="begin no further type after these seconds of a shard; the list 'baseline' is first, --resume goes on",
    )  # fmt: skip


def add_variants_argument(parser: argparse._ActionsContainer) -> None:
    """The option that asks for other ways to run each checkpoint besides: shared by ``run`` and ``launch``."""
    parser.add_argument(
        "--variants", action="append", metavar="A,B",
        help="measure these besides, with the error that each costs and the time it saves; "
        + "; ".join(f"{runtime}: {', '.join(names)}" for runtime, names in VARIANTS.items()),
    )  # fmt: skip


def variants_from(options: argparse.Namespace, runtime: RuntimeName) -> tuple[VariantName, ...]:
    """The variants that were asked for; ``UsageError`` for what the runtime does not have."""
    given = words(options.variants)
    if mistakes := _unknown(f"--variants: the runtime {runtime} has no variant", given, VARIANTS[runtime]):
        raise UsageError("nothing was started", mistakes=mistakes)
    return tuple(one for one in VARIANTS[runtime] if one in given)
