"""A tokenizer of the type's own class, with a vocabulary of characters.

The class's own minimal vocabulary (its special tokens, in its order) comes first, then every character that its
kind of model writes: any text can be tokenized, and the ids stay below the tiny models' vocabulary.
"""

import importlib
import inspect
import json
import string
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers.models.auto.configuration_auto import model_type_to_module_name
from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES

from harness.cell.synthesis.special_tokens import special_tokens

_PLAIN = string.ascii_lowercase + string.ascii_uppercase + string.digits + string.punctuation
_GENERIC = "TokenizersBackend"
_ROLES = ("pad", "bos", "eos", "unk", "cls", "sep", "mask")


@dataclass(frozen=True)
class Made:
    """A tokenizer, and why it is a stand-in where it is not of the type's own class."""

    tokenizer: Any
    stand_in: str | None = None
    placeholders: dict[str, str] = field(default_factory=dict)
    """By role (``image``): the token that the type's processor puts where another modality stands."""

    @property
    def token_ids(self) -> dict[str, int]:
        """The ids of its special tokens by role, for the model's config: ``bos``, ``eos``, ``image`` …"""
        ids = {role: getattr(self.tokenizer, f"{role}_token_id", None) for role in _ROLES}
        ids |= {role: self.tokenizer.convert_tokens_to_ids(token) for role, token in self.placeholders.items()}
        return {role: number for role, number in ids.items() if isinstance(number, int)}


def make_tokenizer(model_type: str, extra: list[str], scratch: Path) -> Made:
    """A tokenizer for the type; files that its class insists on reading are written to ``scratch``."""
    own = _own_class(model_type)
    stand_in = None
    if own is None:
        tokenizer, stand_in = _generic(), f"transformers names no tokenizer class for {model_type}"
    elif own.__name__ == _GENERIC:
        tokenizer = _generic()  # the class that transformers itself maps the type to
    elif "vocab" in inspect.signature(own.__init__).parameters:
        tokenizer = _from_vocabulary(own)
    else:
        tokenizer = _from_files(own, scratch)
    named, texts = special_tokens(model_type)
    if added := [*extra, *texts, *named.values()]:
        tokenizer.add_special_tokens({"additional_special_tokens": added})
    for attribute, token in named.items():
        # As a real checkpoint's tokenizer_config.json says it, so that it holds after a save and reload too.
        tokenizer._set_model_specific_special_tokens({attribute: token})  # noqa: SLF001
    placeholders = {name.removesuffix("_token"): token for name, token in named.items()}
    return Made(tokenizer, stand_in, placeholders)


def _own_class(model_type: str) -> Any:
    """The class that the Auto mapping names, or that stands in the type's own package; None where there is none."""
    name = TOKENIZER_MAPPING_NAMES.get(model_type)
    if name:
        return getattr(transformers, name)
    module = model_type_to_module_name(model_type)
    try:
        package = importlib.import_module(f"transformers.models.{module}.tokenization_{module}")
    except ModuleNotFoundError:
        return None
    return next((getattr(package, one) for one in package.__all__ if one.endswith("Tokenizer")), None)


def _from_vocabulary(own: type[Any]) -> Any:
    """The class takes its vocabulary as an argument: ids by token, or scored tokens for a unigram model."""
    minimal = own()
    tokens = sorted(minimal.get_vocab(), key=minimal.get_vocab().get)
    state = json.loads(minimal.backend_tokenizer.to_str())
    known = set(tokens)
    tokens += [token for token in dict.fromkeys(_alphabet(state)) if token not in known]
    scored = state["model"]["type"] == "Unigram"
    vocabulary: Any = [(token, -1.0) for token in tokens] if scored else {token: i for i, token in enumerate(tokens)}
    accepted = inspect.signature(own.__init__).parameters
    return own(vocab=vocabulary, **({"merges": []} if "merges" in accepted else {}))


def _alphabet(state: dict[str, Any]) -> Iterator[str]:
    """The tokens for single characters, in the spelling that this tokenizer's parts expect."""
    model = state["model"]
    whole = json.dumps(state.get("pre_tokenizer")) + json.dumps(state.get("normalizer"))
    characters = sorted(pre_tokenizers.ByteLevel.alphabet()) if "ByteLevel" in whole else list(_PLAIN)
    yield from characters
    if "Metaspace" in whole or "▁" in whole:
        yield "▁"
    if suffix := model.get("end_of_word_suffix"):
        yield from (one + suffix for one in characters)
    if prefix := model.get("continuing_subword_prefix"):
        yield from (prefix + one for one in characters)
    if model.get("byte_fallback"):
        yield from (f"<0x{number:02X}>" for number in range(256))


def _from_files(own: type[Any], scratch: Path) -> Any:
    """The class reads its vocabulary from a JSON file of ids by token."""
    minimal_tokens = [str(one.default) for one in inspect.signature(own.__init__).parameters.values() if _is_token(one)]
    tokens = dict.fromkeys([*minimal_tokens, *string.ascii_uppercase, "'"])
    file = scratch / own.vocab_files_names["vocab_file"]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({token: i for i, token in enumerate(tokens)}), encoding="utf-8")
    return own(vocab_file=str(file))


def _is_token(parameter: inspect.Parameter) -> bool:
    return parameter.name.endswith("_token") and isinstance(parameter.default, str)


def _generic() -> Any:
    """A byte-level tokenizer, as most of today's language models have."""
    special = ["<pad>", "<s>", "</s>", "<unk>"]
    tokens = [*special, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
