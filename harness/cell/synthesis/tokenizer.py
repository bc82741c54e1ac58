"""A tokenizer of the type's own class, with a vocabulary of characters.

The class's own minimal vocabulary (its special tokens, in its order) comes first, then every character that its
kind of model writes: any text can be tokenized, and the ids stay below the tiny models' vocabulary.
"""

import importlib
import inspect
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers.models.auto.configuration_auto import model_type_to_module_name
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

from harness.cell.synthesis.special_tokens import special_tokens
from harness.cell.synthesis.tokenizer_files import CHARACTERS, from_files, parameters
from harness.cell.versions import takes_whole_tokenizer, tokenizer_name

_GENERIC = "TokenizersBackend"
_ROLE_TOKENS = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
_GENERIC_ARGUMENTS = _ROLE_TOKENS | {
    # Version 4 has it make token types too, which models that have this tokenizer do not read.
    "model_input_names": ["input_ids", "attention_mask"]
}
_OURS = ("special_tokens", "tokens", "placeholders")
_ROLES = ("pad", "bos", "eos", "unk", "cls", "sep", "mask")


@dataclass(frozen=True)
class Made:
    """A tokenizer, and why it is a stand-in where it is not of the type's own class."""

    tokenizer: Any
    stand_in: str | None = None
    placeholders: dict[str, str] = field(default_factory=dict)
    """By role (``image``): the token that the type's processor puts where another modality stands."""

    @property
    def vocabulary(self) -> int:
        """One more than the highest id; some classes count their language codes apart from their vocabulary."""
        try:
            ids = self.tokenizer("a")["input_ids"]
        except ValueError:  # of words on a page: a text alone is refused
            ids = []
        return max(len(self.tokenizer), 1 + max(ids, default=0))

    @property
    def token_ids(self) -> dict[str, int]:
        """The ids of its special tokens by role, for the model's config: ``bos``, ``eos``, ``image`` …"""
        ids = {role: getattr(self.tokenizer, f"{role}_token_id", None) for role in _ROLES}
        ids |= {role: self.tokenizer.convert_tokens_to_ids(token) for role, token in self.placeholders.items()}
        return {role: number for role, number in ids.items() if isinstance(number, int)}


def make_tokenizer(model_type: str, settings: Mapping[str, Any], scratch: Path, processor: str | None = None) -> Made:
    """A tokenizer for the type, with the tokens that its processor asks for.

    Files that its class insists on reading are written to ``scratch``.

    Of the ``settings``, ``special_tokens`` are added to it, ``tokens`` are in its vocabulary, ``placeholders`` say
    which token stands for what, and all others are arguments of its class.
    """
    arguments = {name: value for name, value in settings.items() if name not in _OURS}
    extra, tokens = settings.get("special_tokens", []), settings.get("tokens", [])
    own = _own_class(model_type)
    stand_in = None
    if own is None:
        tokenizer, stand_in = _generic(arguments), f"transformers names no tokenizer class for {model_type}"
    elif own.__name__ == _GENERIC:
        tokenizer = _generic(arguments)  # the class that transformers itself maps the type to
    else:
        tokenizer = _of_class(own, scratch, tokens, arguments)
    if tokenizer.mask_token is None and model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        # Checkpoints of the type that fill masks name the token in their own files.
        tokenizer.add_special_tokens({"mask_token": "<mask>"})
    needed = special_tokens(processor)
    placeholders = needed.placeholders | settings.get("placeholders", {})
    if added := list(dict.fromkeys([*extra, *needed.texts, *needed.attributes.values(), *placeholders.values()])):
        tokenizer.add_special_tokens({"additional_special_tokens": added})
    for attribute, token in needed.attributes.items():
        # As a real checkpoint's tokenizer_config.json says it, so that it holds after a save and reload too.
        tokenizer._set_model_specific_special_tokens({attribute: token})  # noqa: SLF001
    return Made(tokenizer, stand_in, placeholders)


def _own_class(model_type: str) -> Any:
    """The class that the Auto mapping names, or that stands in the type's own package; None where there is none."""
    name = tokenizer_name(model_type)
    if name:
        return getattr(transformers, name)
    module = model_type_to_module_name(model_type)
    try:
        package = importlib.import_module(f"transformers.models.{module}.tokenization_{module}")
    except ModuleNotFoundError:
        return None
    return next((getattr(package, one) for one in package.__all__ if one.endswith("Tokenizer")), None)


def _of_class(own: Any, scratch: Path, tokens: list[str], arguments: dict[str, Any]) -> Any:
    accepted = parameters(own)
    if "vocab" in accepted and accepted["vocab"].default is not inspect.Parameter.empty:
        return _from_vocabulary(own, tokens, arguments)
    if takes_whole_tokenizer(own):
        return own(tokenizer_object=_generic({}).backend_tokenizer, **(_GENERIC_ARGUMENTS | arguments))
    if set(accepted) & set(own.vocab_files_names):
        return from_files(own, scratch, tokens, arguments)
    return own(**arguments)  # its vocabulary is built in: bytes, code points, amino acids


def _from_vocabulary(own: Any, extra: list[str], arguments: dict[str, Any]) -> Any:
    """The class takes its vocabulary as an argument: ids by token, or scored tokens for a unigram model."""
    minimal = _minimal(own, arguments)
    own_tokens = sorted(minimal.get_vocab(), key=minimal.get_vocab().get)
    state = _state(minimal.backend_tokenizer)
    tokens = list(dict.fromkeys([*extra, *own_tokens, *_alphabet(state)]))
    scored = state["model"]["type"] == "Unigram"
    # Special tokens score 0 in every published vocabulary, and some classes look for them with it.
    vocabulary: Any = (
        [(token, 0.0 if token in own_tokens else -1.0) for token in tokens]
        if scored
        else {token: i for i, token in enumerate(tokens)}
    )
    merges: dict[str, list[str]] = {"merges": []} if "merges" in parameters(own) else {}
    return own(**({"vocab": vocabulary} | merges | arguments))


def _minimal(own: Any, arguments: dict[str, Any]) -> Any:
    try:
        return own(**arguments)
    except ValueError:  # pegasus looks for its unknown token behind the first, where its own default has it
        named = [str(one.default) for name, one in parameters(own).items() if name.endswith("_token")]
        return own(vocab=[(token, 0.0) for token in named], **arguments)


def _state(backend: Any) -> Any:
    """The parts of a tokenizer as JSON."""
    try:
        return json.loads(backend.to_str())
    except Exception:  # noqa: BLE001 -- what tokenizers raises for a part written in Python
        backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        return json.loads(backend.to_str())


def _alphabet(state: dict[str, Any]) -> Iterator[str]:
    """The tokens for single characters, in the spelling that this tokenizer's parts expect."""
    model = state["model"]
    whole = json.dumps(state.get("pre_tokenizer")) + json.dumps(state.get("normalizer"))
    characters = sorted(pre_tokenizers.ByteLevel.alphabet()) if "ByteLevel" in whole else list(CHARACTERS)
    yield from characters
    if "Metaspace" in whole or "▁" in whole:
        yield "▁"
    if suffix := model.get("end_of_word_suffix"):
        yield from (one + suffix for one in characters)
    if prefix := model.get("continuing_subword_prefix"):
        yield from (prefix + one for one in characters)
    if model.get("byte_fallback"):
        yield from (f"<0x{number:02X}>" for number in range(256))


def _generic(arguments: dict[str, Any]) -> Any:
    """A byte-level tokenizer, as most of today's language models have."""
    tokens = [*_ROLE_TOKENS.values(), *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **(_GENERIC_ARGUMENTS | arguments))
