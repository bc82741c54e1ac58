"""The special tokens that a type's processor asks its tokenizer for, read out of the processor's own code.

A processor knows the token that stands for an image as an argument with a default, as an attribute of the tokenizer,
or as a string in its code. A real checkpoint's tokenizer has them all; so must a synthesised one.
"""

import importlib
import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import transformers
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES

from harness.records import Recipe

_COMMON = frozenset({"pad_token", "bos_token", "eos_token", "unk_token", "cls_token", "sep_token", "mask_token"})
_ASKED = re.compile(r"tokenizer\.((?!add_)\w+_token)(?:_id)?\b|getattr\((?:self\.)?tokenizer, \"(\w+_token)(?:_id)?\"")
_NAMED = r'\b{name}\s*=\s*\(?\s*(?:getattr\(tokenizer, "\w+", )?"([^"\s]+)"'
_ADDED = r'\b{name}\s*=\s*AddedToken\("([^"\s]+)"'
"""The processor adds the token to its tokenizer itself, and may not expect to find it there as an attribute."""
_OWN = (
    r'self\.{name}\s*=\s*(?:"(?P<text>[^"\s]+)"(?:\s+#.*)?$|AddedToken\("(?P<added>[^"\s]+)"'
    r"|(?:self\.)?tokenizer\.(?P<other>\w+_token)$|self\.(?P<constant>[A-Z_]+)$)"
)
"""The processor's own word for a token: a text, another attribute of the tokenizer, or a constant of the class."""
_MODALITIES = ("image", "video", "audio")
_LITERAL = re.compile(
    r'(?:convert_tokens_to_ids\(\s*\[?|AddedToken\(\s*|\bvocab\[)"([^"\s]+)"|(?:\w+_token|token) = "(<[^"\s]+>)"'
)


@dataclass(frozen=True)
class SpecialTokens:
    """What a tokenizer must have beside its vocabulary."""

    attributes: dict[str, str] = field(default_factory=dict)
    """Tokens by the tokenizer's attribute: ``image_token``."""
    texts: tuple[str, ...] = ()
    """Those that the processor names only as text."""
    placeholders: dict[str, str] = field(default_factory=dict)
    """Tokens by what they stand for (``image``), as a config's ``image_token_id`` means it."""


def processor_class(model_type: str, recipe: Recipe | None) -> str | None:
    """The name of the class that joins the type's tokenizer with what reads its images, films or recordings."""
    named = (recipe.processor if recipe else {}).get("processor.class")
    return str(named) if named else PROCESSOR_MAPPING_NAMES.get(model_type)


def special_tokens(processor_name: str | None) -> SpecialTokens:
    """The tokens that a processor asks its tokenizer for; none where there is no processor."""
    processor: Any = getattr(transformers, processor_name, None) if processor_name else None
    if processor is None:
        return SpecialTokens()
    source = inspect.getsource(importlib.import_module(processor.__module__))
    parameters = inspect.signature(processor.__init__).parameters
    named = {one.name: one.default for one in parameters.values() if _is_token(one)}
    added: dict[str, str] = {}
    for groups in _ASKED.findall(source):
        attribute = next(one for one in groups if one)
        if written := re.search(_ADDED.format(name=attribute), source):
            added[attribute] = written[1]
        elif attribute not in _COMMON and attribute not in named:
            written = re.search(_NAMED.format(name=attribute), source)
            named[attribute] = written[1] if written else f"<{attribute.removesuffix('_token')}>"
    own = {f"{one}_token": token for one in _MODALITIES if (token := _own_token(processor, source, one, named))}
    placeholders = {name.removesuffix("_token"): token for name, token in (own | added | named).items()}
    texts = {one for groups in _LITERAL.findall(source) for one in groups if one}
    texts = (texts | set(own.values()) | set(added.values())) - set(named.values())
    return SpecialTokens(named, tuple(sorted(texts)), placeholders)


def _own_token(processor: Any, source: str, modality: str, named: Mapping[str, str]) -> str | None:
    """The token that the processor has for the modality under its own name; None where it asks its tokenizer."""
    written = re.search(_OWN.format(name=f"{modality}_token"), source, re.MULTILINE)
    if written is None:
        return None
    if other := written["other"]:
        return named.get(other)
    token = written["text"] or written["added"] or getattr(processor, written["constant"], None)
    return token if isinstance(token, str) else None


def _is_token(parameter: Any) -> bool:
    return parameter.name.endswith("_token") and isinstance(parameter.default, str)
