"""A type's default config, made small.

One value for every field of a kind, in every sub-config: the constraints between fields (a width divisible by
its heads, a projection as wide as the tower that it serves) then hold by themselves. Only the changed fields
are given to the config's constructor, so that it derives the others from them again.

Where that does not make a model that runs, a gentler style is tried: see ``STYLES``.
"""

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import transformers

from harness.cell import versions
from harness.cell.synthesis.relations import keep_relations, layer_count, per_layer
from harness.records import Recipe, Style

WIDTH, HEADS, KV_HEADS, HEAD_DIM, VOCABULARY, LAYERS, IMAGE = 64, 4, 2, 16, 1024, 2, 64
IMAGE_TOKENS = 4
QUERIES, EXPERTS, CHOSEN_EXPERTS, GROUPS, POSITIONS, SOUND_POSITIONS = 16, 4, 2, 2, 512, 50
SMALL = 4
"""Elements of a list of widths up to this size are channel counts or multipliers, and stay."""
LEAST_WIDTH = 16
"""Of the smallest element of a list of widths."""

STYLES: tuple[Style, ...] = ("constant", "shallow", "default")
"""``constant``: widths, heads and layers small; ``shallow``: layers, vocabulary, experts; ``default``: nothing."""

_Sizes = tuple[tuple[str, int], ...]
# What a field's name says it is, most telling first; only integers are changed, and only to something smaller.
_COUNTS: _Sizes = (
    (r"vocab_size|.*_vocab_size(?<!type_vocab_size)|vocab_size_per_layer_input", VOCABULARY),
    (r"num_queries|num_object_queries|num_query_tokens", QUERIES),
    (r"num_feat_extract_layers|num_adapter_layers|num_multimodal_layers|.*_layers_to_.*", 0),  # lengths of other things
    (r"(num_)?(.*_)?layers|n_layers?|num_hidden_layers|.*_depth|depth|num_.*blocks", LAYERS),
    (r"num_experts_per_tok|.*top_?k(?<!topk_group)|num_experts_per_token|moe_k", CHOSEN_EXPERTS),
    (r"(n|num)_(.*_)?experts|moe_num_experts", EXPERTS),
    (r"n_groups?|num_expert_groups?|n_expert_groups", GROUPS),
    (r"topk_group|first_k_dense_replace|num_shared_experts|n_shared_experts", 1),
    (r"num_filters", 4),  # of a codec's first convolution; the next have twice as many each
    (r"max_source_positions", SOUND_POSITIONS),  # a second of sound, where most have half a minute
    (r"max_(position_embeddings|seq_len|sequence_length)|n_positions|n_ctx|max_target_positions", POSITIONS),
)
_WIDTHS: _Sizes = (
    # Positions are chosen by sums of ReLUs over these heads. Few of them are all zero often, and which of two equal
    # positions is chosen is each device's own affair.
    (r"index(er)?_(n|num)_heads", 32),
    (r"num_(key_value|kv)_heads|n_kv_heads|.*_num_key_value_heads|num_key_value_groups", KV_HEADS),
    (r"head_dim|d_kv|.*_head_dim|attention_head_size|rotary_dim|head_size|.*_head_size|d_head", HEAD_DIM),
    (r"(num_)?(.*_)?(attention_)?heads|n_heads?|num_attention_heads|n_head", HEADS),
    (r".*lora_rank", HEAD_DIM),
    (r"image_size|img_size|input_size", IMAGE),
    (r"mm_tokens_per_image", IMAGE_TOKENS),
    (
        (
            r"hidden_(size|dim)|.*_hidden_(size|dim)|d_model|n_embd|dim|emb_dim|embed_dim|.*_embed_dim|embedding_dim|d_latents|embedding_size|width"
            r"|hidden_size_.*|d_embed|lru_width|.*_width|upsample_groups|upsample_initial_channel|output_channels"
        ),
        WIDTH,
    ),
    (
        (
            r"intermediate_(size|dim)|.*_intermediate_size|d_ff|.*ffn_dim|n_inner|mlp_dim|.*_ffn_size|ffn_hidden_size"
            r"|feed_forward_size|dim_feedforward|.*feedforward_dim|.*_inner_dim|d_inner"
        ),
        WIDTH,
    ),
    (r"projection_dim|.*_projection_dim|projection_size|classifier_proj_size|.*codevector_dim|.*_proj_dim", WIDTH),
)
_WIDTH_LISTS = re.compile(r"hidden_sizes|.*_dims?|.*channels(_list)?|embed_dims?|widths|.*_sizes|.*_dim(_per_.*)?")
_DEPTH_LISTS = re.compile(r"depths|.*num_blocks|layer_repeats|stage_repeats")
_HEAD_LISTS = re.compile(r"num_heads|num_attention_heads|.*_num_heads")
_KERNELS = re.compile(r".*(kernel|stride|patch|image|window|pool|dilation|conv_depth|position|input|feature_sizes).*")
_TOKEN_ID = re.compile(r"(.*)_token_(?:id|index)")
_LAYER_FIELDS = re.compile(r"(num_)?(.*_)?layers|n_layers?|num_hidden_layers|depth")
# timm's own test models: a real architecture each, some thousand parameters.
_TIMM_BACKBONES = (("resnet", "test_resnet"), ("", "test_vit"))


def tiny_config(
    model_type: str, recipe: Recipe | None, token_ids: Mapping[str, int], style: Style, vocabulary: int | None = None
) -> Any:
    """The type's config, shrunk, with the recipe's values over it.

    ``token_ids`` (``bos``, ``image`` …) holds in the config and all its sub-configs; token ids that it does not
    name are given small distinct values. ``vocabulary`` is the tokenizer's, where there is one.
    """
    parts = {name: transformers.CONFIG_MAPPING[part]() for name, part in (recipe.parts if recipe else {}).items()}
    default = transformers.CONFIG_MAPPING[model_type](**{name: one.to_dict() for name, one in parts.items()})
    ratio = _list_ratio(default) if style == "constant" else 1
    changes = _Shrinking(style, ratio, dict(token_ids), vocabulary).changes(default)
    for path, value in (recipe.config if recipe else {}).items():
        set_value(changes, path.split("."), value)
    return type(default)(**changes)


@dataclass(frozen=True)
class _Shrinking:
    """One way of making a config and its sub-configs small."""

    style: Style
    ratio: int
    """What every list of widths is divided by."""
    token_ids: dict[str, int]
    vocabulary: int | None

    def changes(self, config: Any) -> dict[str, Any]:
        """The constructor's arguments that make a config of this kind small."""
        changes: dict[str, Any] = {}
        layers = layer_count(config)
        declared = dict(_declared(config))
        lists = {} if _has_chosen_layers(config) else dict(per_layer(config, declared))
        for name, value in declared.items():
            nested = getattr(config, name, None) if isinstance(value, dict) else None
            if isinstance(nested, transformers.PretrainedConfig):
                own = _own_values(nested) | self.changes(nested)
                changes[name] = own | {"model_type": nested.model_type}
            elif name in lists and self.style != "default":
                changes[name] = lists[name][:layers]
            elif (small := self._small(config, name, value, layers)) is not None:
                changes[name] = small
        if self.style != "default":
            keep_relations(config, changes, widths=self.style == "constant")
        return {name: value for name, value in changes.items() if name in declared}

    def _small(self, config: Any, name: str, value: Any, layers: int) -> Any:
        """A smaller value for this field, or None to leave it as it is."""
        if isinstance(value, bool):
            return None
        if (token := _TOKEN_ID.fullmatch(name)) and (isinstance(value, int) or token[1] in self.token_ids):
            return self.token_ids.setdefault(token[1], _free_id(self.token_ids))
        timm = name == "backbone" or (name == "architecture" and str(config.model_type).startswith("timm"))
        if timm and isinstance(value, str):
            return next(small for known, small in _TIMM_BACKBONES if known in value)
        if name == "vocab_size" and value is None:
            return self.vocabulary or VOCABULARY
        if self.style == "default":
            return None
        if isinstance(value, list | tuple) and value and all(type(one) is int for one in value):
            return self._small_list(config, name, list(value))
        return self._small_number(config, name, value, layers) if isinstance(value, int) else None

    def _small_number(self, config: Any, name: str, value: int, layers: int) -> int | None:
        if _LAYER_FIELDS.fullmatch(name) and _has_chosen_layers(config):
            return None
        if name == "vocab_size" and self.vocabulary is not None:
            return self.vocabulary  # a tokenizer's may be larger than a small default: of characters, of phonemes
        if name == "vocab_size" or (name.endswith("_vocab_size") and value == getattr(config, "vocab_size", None)):
            return min(self.vocabulary or VOCABULARY, value)
        for pattern, size in _COUNTS if self.style == "shallow" else (*_COUNTS, *_WIDTHS):
            if re.fullmatch(pattern, name):
                wanted = layers if size == LAYERS and "layer" in name else size
                return wanted if 0 < wanted < value else None
        return None

    def _small_list(self, config: Any, name: str, value: list[int]) -> list[int] | None:
        if _DEPTH_LISTS.fullmatch(name):
            return [min(one, 1) for one in value]
        if self.style != "constant" or _KERNELS.fullmatch(name):
            return None
        if _HEAD_LISTS.fullmatch(name):
            return None if _has_width_list(config, len(value)) else [HEADS] * len(value)
        if _WIDTH_LISTS.fullmatch(name) and max(value) > WIDTH:
            if len(set(value)) == 1 and (one_width := self._width_of(config, value[0])):
                return [one_width] * len(value)
            return [one if one <= SMALL else max(one // self.ratio, 1) for one in value]
        return None

    def _width_of(self, config: Any, width: int) -> int | None:
        """The small value of the config's field of this width: a list of nothing else goes with it."""
        for name, value in _declared(config):
            if type(value) is int and value == width and any(re.fullmatch(one, name) for one, _ in _WIDTHS):
                return self._small_number(config, name, value, 0)
        return None


def _declared(config: Any) -> Iterator[tuple[str, Any]]:
    """The fields that the config's class declares: others it derives, and would not take."""
    fields = {field.name for field in dataclasses.fields(config)} if dataclasses.is_dataclass(config) else None
    if fields is not None:
        fields |= set(config.sub_configs)  # some take these without declaring them
    foreign = versions.foreign_fields(config)
    for name, value in config.to_dict().items():
        if (fields is None or name in fields) and name not in foreign:
            yield name, value


def _list_ratio(config: Any) -> int:
    """One power of two for all lists of widths of the config, so that lists that belong together stay so."""
    ratio = 64
    for name, value in _all_fields(config):
        if not (isinstance(value, list | tuple) and value and all(type(one) is int for one in value)):
            continue
        if _KERNELS.fullmatch(name) or not _WIDTH_LISTS.fullmatch(name) or max(value) <= WIDTH:
            continue
        widths = [one for one in value if one > SMALL]
        while ratio > 1 and (min(widths) // ratio < LEAST_WIDTH or math.gcd(*widths) % ratio):
            ratio //= 2
    return ratio


def _all_fields(config: Any) -> Iterator[tuple[str, Any]]:
    for name, value in _declared(config):
        nested = getattr(config, name, None) if isinstance(value, dict) else None
        if isinstance(nested, transformers.PretrainedConfig):
            yield from _all_fields(nested)
        else:
            yield name, value


def _has_chosen_layers(config: Any) -> bool:
    """Whether the config names single layers by number (a backbone's outputs), which must then be there."""
    values = config.to_dict()
    return any(values.get(name) for name in ("out_indices", "out_features", "backbone_out_indices"))


def _has_width_list(config: Any, length: int) -> bool:
    return any(
        isinstance(value, list) and len(value) == length and _WIDTH_LISTS.fullmatch(name)
        for name, value in _declared(config)
        if not _HEAD_LISTS.fullmatch(name) and not _KERNELS.fullmatch(name) and not _DEPTH_LISTS.fullmatch(name)
    )


def _own_values(nested: Any) -> dict[str, Any]:
    """What a parent set in its sub-config that the sub-config's class would not."""
    fresh, values = type(nested)().to_dict(), nested.to_dict()
    kept = dict(_declared(nested)) | {name: value for name, value in values.items() if name not in fresh}
    if chosen := getattr(nested, "out_indices", None):
        kept["out_indices"] = list(chosen)  # which the constructor takes without declaring it
    own = {name: value for name, value in kept.items() if not isinstance(value, dict) and fresh.get(name) != value}
    # A timm encoder's, which its config insists on finding where it is made from values.
    return own | {"num_classes": values["num_classes"]} if "num_classes" in values else own


def _free_id(token_ids: Mapping[str, int]) -> int:
    taken = set(token_ids.values())
    return next(number for number in range(VOCABULARY) if number not in taken)


def set_value(changes: dict[str, Any], path: list[str], value: Any) -> None:
    """Set the value at a path of nested tables, which are made where they are not there."""
    for step in path[:-1]:
        changes = changes.setdefault(step, {})
    changes[path[-1]] = value
