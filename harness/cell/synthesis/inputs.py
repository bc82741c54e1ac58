"""Inputs for a direct call of a model.

Every modality that the type takes is fed, and each has an alternative: a second, different value of the same
shape, which must change the output. They are made from the config and the signature of ``forward``; or, for types
whose modalities depend on each other (as many image tokens as there are patches), by the type's own processor from
a text, an image, a recording.
"""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from harness.cell.digest import tensors_digest
from harness.cell.outputs import flatten
from harness.cell.synthesis.arguments import CARRIES, MODALITIES, TINY, Amounts, Maker
from harness.cell.synthesis.ask_processor import ask_processor
from harness.cell.synthesis.patches import as_patches
from harness.cell.synthesis.processors import Processors
from harness.cell.synthesis.written import draw_all
from harness.records import InputSource, Recipe


@dataclass(frozen=True)
class Inputs:
    """Keyword arguments of ``forward``, and by modality those that change when that modality changes."""

    values: dict[str, Any]
    alternatives: dict[str, dict[str, Any]]
    not_fed: tuple[str, ...] = ()
    """Arguments that carry a modality, and were given no value."""
    apart: dict[str, "Inputs"] = field(default_factory=dict)
    """By modality: inputs of another call, for a modality that the model does not take beside the others."""

    def with_alternative(self, modality: str) -> dict[str, Any]:
        return self.values | self.alternatives[modality]

    def generation_values(self, model: Any) -> dict[str, Any]:
        """The arguments that ``generate`` takes: what the decoder starts from is its own affair."""
        drop = "decoder_" if model.config.is_encoder_decoder else "\0"
        return {name: value for name, value in self.values.items() if not name.startswith(drop)}

    @property
    def batch(self) -> int:
        """Items in one call."""
        for name in ("input_ids", "grid_thw", *self.values):
            if isinstance(self.values.get(name), torch.Tensor) and self.values[name].dim():
                return int(self.values[name].shape[0])
        return 1

    @property
    def digest(self) -> str:
        """SHA-256 of all values, the alternatives included."""
        return tensors_digest(flatten(dict(self._everything())))

    def _everything(self) -> Iterator[tuple[str, Any]]:
        yield from self.values.items()
        for values in self.alternatives.values():
            yield from ((f"another {name}", one) for name, one in values.items())
        for modality, other in self.apart.items():
            yield from ((f"{modality}: {name}", one) for name, one in other._everything())  # noqa: SLF001


def make_inputs(
    model: Any,
    recipe: Recipe | None,
    source: InputSource = "signature",
    processors: Processors | None = None,
    amounts: Amounts = TINY,
) -> Inputs:
    """Inputs for ``model``, equal on every call. ``processors`` are needed where they are to make them."""
    accepted = inspect.signature(getattr(model, (recipe and recipe.method) or "forward")).parameters
    if recipe and "batch" in recipe.sizes:
        amounts = replace(amounts, batch=recipe.sizes["batch"])
    if source == "signature" or processors is None:
        return _complete(model, accepted, recipe, amounts, *_from_signature(model, accepted, recipe, amounts))
    calls = ask_processor(processors, accepted, recipe, amounts, apart=source == "apart")
    made = {
        kind: _complete(model, accepted, recipe, amounts, one.values, one.alternatives) for kind, one in calls.items()
    }
    first = made.pop(next(iter(made)))
    not_fed = tuple(one for one in first.not_fed if all(one in other.not_fed for other in made.values()))
    return replace(first, not_fed=not_fed, apart=made)


def _complete(
    model: Any,
    accepted: Mapping[str, Any],
    recipe: Recipe | None,
    amounts: Amounts,
    values: dict[str, Any],
    alternatives: dict[str, dict[str, Any]],
) -> Inputs:
    """The inputs of one call, with the recipe's over them."""
    specs = recipe.inputs if recipe else {}
    first, second = Maker(model, recipe, 3, amounts), Maker(model, recipe, 4, amounts)
    for name in specs:
        alternatives = {
            modality: {one: value for one, value in changed.items() if one != name}
            for modality, changed in alternatives.items()
        }
        values.pop(name, None)
    written = {name: spec for name, spec in specs.items() if spec != "leave out"}
    given, others = draw_all(written, first.generator, second.generator)
    values |= given
    alternatives |= {name: {name: other} for name, other in others.items()}
    alternatives = {modality: changed for modality, changed in alternatives.items() if changed}
    fed = {CARRIES[name] for name in values if name in CARRIES}
    left_out = {name for name, spec in specs.items() if spec == "leave out"}
    if not model.config.is_encoder_decoder:
        left_out.add("decoder_input_ids")
    not_fed = [one for one in accepted if one in CARRIES and CARRIES[one] not in fed and one not in left_out]
    return Inputs(values, alternatives, tuple(not_fed))


def _from_signature(
    model: Any, accepted: Mapping[str, Any], recipe: Recipe | None, amounts: Amounts
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    left_out = {name for name, spec in (recipe.inputs if recipe else {}).items() if spec == "leave out"}
    values: dict[str, Any] = {}
    alternatives: dict[str, dict[str, Any]] = {}
    first, second = Maker(model, recipe, 1, amounts), Maker(model, recipe, 2, amounts)
    if patches := as_patches(model, accepted, first):
        carrier, values = patches
        other = as_patches(model, accepted, second)
        assert other is not None  # noqa: S101 -- the same question again
        alternatives["image"] = {carrier: other[1][carrier]}
    for name, (modality, make) in MODALITIES.items():
        if name not in accepted or name in values or name in left_out or (recipe and name in recipe.inputs):
            continue
        if name == "decoder_input_ids" and not model.config.is_encoder_decoder:
            continue
        values[name] = make(first)
        # The same argument may stand for two modalities (a film or an image); each has its own change.
        alternatives.setdefault(modality, {})[name] = make(second)
    if "input_ids" in values and "pixel_values" in values:
        _place_images(model, values, alternatives)
    if "input_ids" in values and "attention_mask" in accepted:
        values["attention_mask"] = torch.ones_like(values["input_ids"])
    given = values.keys() | (recipe.inputs.keys() if recipe else set())
    if "input_features" in given and "input_features_mask" in accepted:
        values["input_features_mask"] = first.input_features_mask()
    if "past_values" in values and "past_observed_mask" in accepted:
        values["past_observed_mask"] = first.past_observed_mask()
    return values, alternatives


def _place_images(model: Any, values: dict[str, Any], alternatives: dict[str, dict[str, Any]]) -> None:
    """Where images stand in the text as placeholder tokens: as many as the model makes features of an image."""
    placeholder = getattr(model.config, "image_token_id", None)
    if placeholder is None:
        return
    # A head only hands the question on to the model in it; that of got_ocr2 in version 4 with what this does not take.
    inner: Any = getattr(model, "model", None)
    asked = inner if hasattr(inner, "get_image_features") else model
    with torch.no_grad():
        features = asked.get_image_features(values["pixel_values"])
    features = getattr(features, "pooler_output", features)
    count = features[0].shape[0] if isinstance(features, list | tuple) else features.shape[1]
    images = torch.full((len(values["input_ids"]), count), placeholder, dtype=torch.long)
    for ids in (values, alternatives["text"]):
        ids["input_ids"] = torch.cat([ids["input_ids"][:, :1], images, ids["input_ids"][:, 1:]], dim=1)
