"""Relations between the fields of one config, which hold in its default and must hold in the small one."""

import importlib
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

LEAST_LAYERS = 2
MOST_LAYERS = 12
"""Kinds of layers that stand further back than this are not reached."""
_LONG = 8
"""A list of numbers this long, with as many elements as there are layers, is one number per layer."""
_LAYER_COUNTS = ("num_hidden_layers", "num_layers", "n_layers", "n_layer")
_LAYER_KINDS = ("layer_types", "layers_block_type", "layers_num_experts")
"""Fields and properties that name a layer's kind."""
_HEAD_PARTS = ("qk_nope_head_dim", "qk_rope_head_dim")
"""Of a query or key: without and with position."""
_SHARED = "num_kv_shared_layers"
_MIXERS = (
    # Heads, width of one, and by how much the mixer is wider than the model: heads * width = expansion * model.
    ("num_heads", "head_dim", "expand"),
    ("mamba_n_heads", "mamba_d_head", "mamba_expand"),
    ("n_mamba_heads", "mamba_headdim", "mamba_expand"),
)


def layer_count(config: Any) -> int:
    """Two layers, or as many as it takes to have one of each kind.

    Where the last layers share the keys and values of others, as many again as do not.
    """
    kinds = [_get(config, name) for name in _LAYER_KINDS]
    kinds += [value for _, value in per_layer(config, _values(config)) if type(value[0]) is str]
    ends = [1 + max(list(one).index(kind) for kind in set(one)) for one in kinds if isinstance(one, list) and one]
    count = max([LEAST_LAYERS, *(end for end in ends if end <= MOST_LAYERS)])
    shared, layers = _get(config, _SHARED), _layers(config)
    return 2 * count if shared and layers and shared < layers else count


def per_layer(config: Any, values: Mapping[str, Any]) -> Iterator[tuple[str, list[Any]]]:
    """The lists with one element for each layer."""
    layers = _layers(config)
    for name, value in values.items():
        if not isinstance(value, list | tuple) or not value or name == "architectures":
            continue
        if name == "layer_types" or (len(value) == layers and (type(value[0]) is str or layers > _LONG)):
            yield name, list(value)


def keep_relations(config: Any, changes: dict[str, Any], *, widths: bool) -> None:
    """Put right in ``changes`` what shrinking each field by its own name leaves at odds with the others.

    ``widths`` says whether widths and heads were changed, or only layers and counts.
    """
    values = _values(config)
    _fit_heads(values, changes)
    if (shared := values.get(_SHARED)) and isinstance(layers := _layers(config), int):
        now = (values | changes).get("num_hidden_layers", layers)
        changes[_SHARED] = now if shared == layers else now // 2
    if widths:
        _fit_head_parts(values, changes)
        for names in _MIXERS:
            _fit_mixer(config, values | changes, changes, names)
        _fit_rotary_sections(config, values | changes, changes)


def _fit_heads(values: Mapping[str, Any], changes: dict[str, Any]) -> None:
    """A width of a head where the default has none, and as many heads of keys as of queries where it has."""
    small = {**values, **changes}
    if "head_dim" in values and values["head_dim"] is None and (width := _head_width(small)):
        changes["head_dim"] = width
    heads = small.get("num_attention_heads")
    if isinstance(heads, int) and "num_key_value_heads" in values:
        everywhere = values.get("num_attention_heads") == values["num_key_value_heads"]
        if everywhere or values["num_key_value_heads"] is None:
            changes["num_key_value_heads"] = heads


def _fit_head_parts(values: Mapping[str, Any], changes: dict[str, Any]) -> None:
    if not all(isinstance(values.get(part), int) for part in _HEAD_PARTS):
        return
    for name in ("qk_head_dim", "head_dim"):
        if values.get(name) == sum(values[part] for part in _HEAD_PARTS):
            changes[name] = sum({**values, **changes}[part] for part in _HEAD_PARTS)


def _fit_mixer(config: Any, small: Mapping[str, Any], changes: dict[str, Any], names: tuple[str, str, str]) -> None:
    count, width, expansion = names
    model = _get(config, "hidden_size")
    if not all(isinstance(_get(config, name), int) for name in (*names, "hidden_size")):
        return
    if _get(config, count) * _get(config, width) != _get(config, expansion) * model:
        return
    inner = small[expansion] * small["hidden_size"]
    if small[count] * small[width] != inner:
        if inner % small[width]:
            changes[width] = inner // small[count]
        else:
            changes[count] = inner // small[width]


def _fit_rotary_sections(config: Any, small: Mapping[str, Any], changes: dict[str, Any]) -> None:
    """The parts of a head that turn with time, height and width make up the half of what turns at all.

    Where the config names none, the modelling code falls back on those of the full size. Version 4 calls the
    parameters another name, and has none by default.
    """
    field = "rope_parameters" if "rope_parameters" in small else "rope_scaling"
    rope = small.get(field, {}) or ({"rope_type": "default"} if field == "rope_scaling" and field in small else {})
    head = small.get("head_dim") or _head_width(small)
    if not isinstance(rope, dict) or not rope or not isinstance(head, int) or "mrope_section" not in _code(config):
        return
    fitted = {}
    for key, one in (rope if _by_layer(rope) else {"": rope}).items():
        half = int(head * (one.get("partial_rotary_factor") or 1)) // 2
        sections = [half // 3, half // 3, half - 2 * (half // 3)]
        fitted[key] = {**one, "mrope_section": sections}
    changes[field] = fitted if _by_layer(rope) else fitted[""]


def _by_layer(rope: Mapping[str, Any]) -> bool:
    return bool(rope) and all(isinstance(one, dict) for one in rope.values())


def _code(config: Any) -> str:
    """The source of the modelling file beside the config's class; nothing where there is none."""
    name = type(config).__module__.replace("configuration_", "modeling_")
    try:
        return inspect.getsource(importlib.import_module(name))
    except ImportError:
        return ""


def _head_width(values: Mapping[str, Any]) -> int | None:
    width, heads = values.get("hidden_size"), values.get("num_attention_heads")
    return width // heads if isinstance(width, int) and isinstance(heads, int) and heads else None


def _layers(config: Any) -> int:
    return next((value for name in _LAYER_COUNTS if isinstance(value := _get(config, name), int)), 0)


def _values(config: Any) -> dict[str, Any]:
    values: dict[str, Any] = config.to_dict()
    return values


def _get(config: Any, name: str) -> Any:
    # A field that differs by layer raises where it is asked of the whole.
    try:
        return getattr(config, name, None)
    except Exception:  # noqa: BLE001 -- whatever a config's own property raises, it has no such value
        return None
