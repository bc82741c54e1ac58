"""A type's default config, made small.

One value for every field of a kind, in every sub-config: the constraints between fields (a width divisible by
its heads, a projection as wide as the tower that it serves) then hold by themselves. Only the changed fields
are given to the config's constructor, so that it derives the others from them again.
"""

import re
from collections.abc import Mapping
from typing import Any

import transformers

from harness.records import Recipe

WIDTH, HEADS, KV_HEADS, HEAD_DIM, VOCABULARY, LAYERS, IMAGE = 64, 4, 2, 16, 1024, 2, 64
QUERIES = 16
MOST_LAYERS = 8
SMALL = 4
"""Elements of a list of widths up to this size are channel counts or multipliers, and stay."""

# What a field's name says it is, most telling first; only integers are changed.
_SIZES: tuple[tuple[str, int], ...] = (
    (r"vocab_size|.*_vocab_size(?<!type_vocab_size)", VOCABULARY),
    (r"num_(key_value|kv)_heads|n_kv_heads|.*_num_key_value_heads", KV_HEADS),
    (r"head_dim|d_kv|.*_head_dim|attention_head_size", HEAD_DIM),
    (r"(num_)?(.*_)?(attention_)?heads|n_heads?|num_attention_heads", HEADS),
    (r"num_feat_extract_layers|num_adapter_layers", 0),  # lengths of other lists; 0: as it is
    (r"(num_)?(.*_)?layers|n_layers?|num_hidden_layers|.*_depth|depth", LAYERS),
    (r"num_queries|num_object_queries", QUERIES),
    (r"image_size|img_size|input_size", IMAGE),
    (
        r"hidden_(size|dim)|.*_hidden_(size|dim)|d_model|n_embd|dim|embed_dim|.*_embed_dim|embedding_size|width",
        WIDTH,
    ),
    (r"intermediate_(size|dim)|.*_intermediate_size|d_ff|.*ffn_dim|n_inner|mlp_dim|.*_ffn_size", WIDTH),
    (r"projection_dim|.*_projection_dim|projection_size|classifier_proj_size|.*codevector_dim", WIDTH),
    (r"output_hidden_size|encoder_hidden_size|mm_hidden_size|out_hidden_size", WIDTH),
)
_WIDTH_LISTS = re.compile(r"hidden_sizes|.*_dims?|.*channels(_list)?|embed_dims?|widths|.*_sizes")
_DEPTH_LISTS = re.compile(r"depths|.*num_blocks|layer_repeats|stage_repeats")
_KERNELS = re.compile(r".*(kernel|stride|patch|image|window|pool|dilation).*")
_TOKEN_ID = re.compile(r"(.*)_token_(?:id|index)")
# timm's own test models: a real architecture each, some thousand parameters.
_TIMM_BACKBONES = (("resnet", "test_resnet"), ("", "test_vit"))


def tiny_config(model_type: str, recipe: Recipe | None, token_ids: Mapping[str, int]) -> Any:
    """The type's config, shrunk, with the recipe's values over it.

    ``token_ids`` (``bos``, ``image`` …) holds in the config and all its sub-configs; token ids that it does not
    name are given small distinct values.
    """
    default = transformers.CONFIG_MAPPING[model_type]()
    changes = _changes(default, dict(token_ids))
    for path, value in (recipe.config if recipe else {}).items():
        _set(changes, path.split("."), value)
    return type(default)(**changes)


def _changes(config: Any, token_ids: dict[str, int]) -> dict[str, Any]:
    """The constructor's arguments that make a config of this kind small."""
    changes: dict[str, Any] = {}
    layers = _layer_count(config)
    for name, value in config.to_dict().items():
        nested = getattr(config, name, None) if isinstance(value, dict) else None
        if isinstance(nested, transformers.PretrainedConfig):
            changes[name] = _own_values(nested) | _changes(nested, token_ids) | {"model_type": nested.model_type}
        elif name == "layer_types" and isinstance(value, list):
            changes[name] = value[:layers]
        elif (small := _small(name, value, layers, token_ids)) is not None:
            changes[name] = small
    return changes


def _small(name: str, value: Any, layers: int, token_ids: dict[str, int]) -> Any:
    """A smaller value for this field, or None to leave it as it is."""
    if isinstance(value, bool):
        return None
    if (token := _TOKEN_ID.fullmatch(name)) and (isinstance(value, int) or token[1] in token_ids):
        return token_ids.setdefault(token[1], _free_id(token_ids))
    if name == "backbone" and isinstance(value, str):
        return next(small for known, small in _TIMM_BACKBONES if known in value)
    if isinstance(value, list) and value and all(isinstance(one, int) for one in value):
        return _small_list(name, value)
    if not isinstance(value, int):
        return None
    for pattern, size in _SIZES:
        if re.fullmatch(pattern, name):
            wanted = layers if size == LAYERS and "layer" in name else size
            return wanted if 0 < wanted < value else None
    return None


def _small_list(name: str, value: list[int]) -> list[int] | None:
    if _DEPTH_LISTS.fullmatch(name):
        return [min(one, 1) for one in value]
    if _WIDTH_LISTS.fullmatch(name) and not _KERNELS.fullmatch(name) and max(value) > WIDTH:
        # One power of two for the whole list keeps its proportions and its divisibility.
        ratio = 1
        while min(one for one in value if one > SMALL) // (ratio * 2) >= HEAD_DIM:
            ratio *= 2
        return [one if one <= SMALL else one // ratio for one in value]
    return None


def _layer_count(config: Any) -> int:
    """Two layers, or as many as it takes to have one of each kind."""
    kinds = config.to_dict().get("layer_types")
    if not isinstance(kinds, list) or not kinds:
        return LAYERS
    return max(LAYERS, min(MOST_LAYERS, 1 + max(kinds.index(kind) for kind in set(kinds))))


def _own_values(nested: Any) -> dict[str, Any]:
    """What a parent set in its sub-config that the sub-config's class would not."""
    fresh = type(nested)().to_dict()
    values = nested.to_dict()
    return {name: value for name, value in values.items() if not isinstance(value, dict) and fresh.get(name) != value}


def _free_id(token_ids: Mapping[str, int]) -> int:
    taken = set(token_ids.values())
    return next(number for number in range(VOCABULARY) if number not in taken)


def _set(changes: dict[str, Any], path: list[str], value: Any) -> None:
    for step in path[:-1]:
        changes = changes.setdefault(step, {})
    changes[path[-1]] = value
