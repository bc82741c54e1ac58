"""The files that a tokenizer class reads its vocabulary from: characters, without merges, in each file's own form.

A class says which files it takes in ``vocab_files_names``; what stands in one follows from its name.
"""

import inspect
import io
import json
import string
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import sentencepiece

CHARACTERS = string.ascii_lowercase + string.ascii_uppercase + string.digits + string.punctuation
_SPELLINGS = ("{}", "{}</w>", "{}@@", "##{}")
"""How a vocabulary writes a character that ends a word, does not end it, or goes on with one."""


def from_files(own: Any, scratch: Path, tokens: Iterable[str], arguments: Mapping[str, Any]) -> Any:
    """A tokenizer of a class that reads files; ``tokens`` are those that its vocabulary has besides characters."""
    accepted = parameters(own)
    scratch.mkdir(parents=True, exist_ok=True)
    named = [str(one.default) for one in accepted.values() if _is_token(one)]
    words = list(dict.fromkeys([*tokens, *named, *_characters()]))
    counted, pieces = hasattr(own, "add_from_file"), "sp_model_kwargs" in accepted
    files = {}
    for argument, file_name in own.vocab_files_names.items():
        # A whole tokenizer, and pickles of one, are what a class can do without.
        if argument in accepted and argument != "tokenizer_file" and not file_name.endswith(".pkl"):
            path = scratch / file_name
            path.write_bytes(_content(file_name, words, counted=counted, pieces=pieces))
            files[argument] = str(path)
    return own(**(files | dict(arguments)))


def parameters(own: Any) -> dict[str, inspect.Parameter]:
    """The arguments of the class's constructor, those that it hands on to its bases' included."""
    found: dict[str, inspect.Parameter] = {}
    for base in own.__mro__:
        if "__init__" not in vars(base):
            continue
        its = inspect.signature(base.__init__).parameters
        found = {name: one for name, one in its.items() if name != "self"} | found
        if not any(one.kind is inspect.Parameter.VAR_POSITIONAL for one in its.values()):
            break
    return found


def _is_token(parameter: inspect.Parameter) -> bool:
    return parameter.name.endswith("_token") and isinstance(parameter.default, str)


def _characters() -> list[str]:
    # The piece for a space, as sentencepiece writes it, stands with them.
    return ["▁", *(form.format(one) for form in _SPELLINGS for one in CHARACTERS)]


def _content(file_name: str, words: list[str], *, counted: bool, pieces: bool) -> bytes:
    suffix = Path(file_name).suffix
    # A file of the last ending is a model of sentencepiece's for one class, and lines of words for another.
    if suffix in (".model", ".spm") or (suffix == ".tokenizer" and pieces):
        return sentencepiece_model()
    # Classes with a method of fairseq's dictionaries read tokens with their counts.
    otherwise = _numbered if suffix == ".json" else _counted if counted else _lines
    write: Callable[[list[str]], str] = next((form for known, form in _FORMS.items() if known in file_name), otherwise)
    return write(words).encode()


def _lines(words: list[str]) -> str:
    return "\n".join(words) + "\n"


def _numbered(words: list[str]) -> str:
    return json.dumps({word: number for number, word in enumerate(words)})


def _no_merges(_words: list[str]) -> str:
    return "#version: 0.2\n"


def _counted(words: list[str]) -> str:
    return "".join(f"{word} 1\n" for word in words)


def _no_emoji(_words: list[str]) -> str:
    return json.dumps({"emoji": {}, "emoji_inv": {}})


def _no_rewriting(_words: list[str]) -> str:
    return json.dumps({"decompose_map": {}, "merge_map": {}})


_FORMS: dict[str, Callable[[list[str]], str]] = {
    # By what a file's name has in it; otherwise JSON has ids by token, any other a token a line.
    "merges": _no_merges,
    "bpe.codes": _no_merges,
    "dict.txt": _counted,
    "emoji": _no_emoji,
    "byte_maps": _no_rewriting,
}


@cache
def sentencepiece_model() -> bytes:
    """A sentencepiece model of characters; of the kind that transformers 4 can turn into a tokenizer in Rust."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*CHARACTERS, f"{CHARACTERS} {CHARACTERS}"]),
        model_writer=model,
        model_type="unigram",
        vocab_size=len(CHARACTERS) + 8,
        hard_vocab_limit=False,
        character_coverage=1.0,
        normalization_rule_name="identity",
        minloglevel=2,
    )
    return model.getvalue()
