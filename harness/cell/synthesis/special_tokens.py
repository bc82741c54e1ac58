"""The special tokens that a type's processor asks its tokenizer for, read out of the processor's own code.

A processor knows the token that stands for an image as an argument with a default, as an attribute of the tokenizer,
or as a string in its code. A real checkpoint's tokenizer has them all; so must a synthesised one.
"""

import importlib
import inspect
import re
from typing import Any

import transformers
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES

_COMMON = frozenset({"pad_token", "bos_token", "eos_token", "unk_token", "cls_token", "sep_token", "mask_token"})
_ASKED = re.compile(r"tokenizer\.(\w+_token)(?:_id)?\b|getattr\((?:self\.)?tokenizer, \"(\w+_token)(?:_id)?\"")
_NAMED = r'{name}\s*=\s*\(?\s*(?:getattr\(tokenizer, "\w+", )?"([^"\s]+)"'
_LITERAL = re.compile(r'convert_tokens_to_ids\(\s*\[?"([^"\s]+)"|(?:\w+_token|token) = "(<[^"\s]+>)"')


def special_tokens(model_type: str) -> tuple[dict[str, str], list[str]]:
    """By attribute (``image_token``) the tokens that the processor asks for, and those that it names only as text."""
    name = PROCESSOR_MAPPING_NAMES.get(model_type)
    processor = getattr(transformers, name, None) if name else None
    if processor is None:
        return {}, []
    source = inspect.getsource(importlib.import_module(processor.__module__))
    parameters = inspect.signature(processor.__init__).parameters
    named = {one.name: one.default for one in parameters.values() if _is_token(one)}
    for groups in _ASKED.findall(source):
        attribute = next(one for one in groups if one)
        if attribute not in _COMMON and attribute not in named and not attribute.startswith("add_"):
            written = re.search(_NAMED.format(name=attribute), source)
            named[attribute] = written[1] if written else f"<{attribute.removesuffix('_token')}>"
    texts = {one for groups in _LITERAL.findall(source) for one in groups if one}
    return named, sorted(texts - set(named.values()))


def _is_token(parameter: Any) -> bool:
    return parameter.name.endswith("_token") and isinstance(parameter.default, str)
