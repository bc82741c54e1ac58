"""A pipeline's answer worked out by hand from a direct call, for the tasks where that takes a few lines.

The comparison of the model's numbers shows that the pipeline ran the right model on its inputs; this shows that
what it made of those numbers is right too.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from harness.cell.outputs import MismatchError, Outputs
from harness.cell.synthesis.raw import NEW_TOKENS

LARGEST_DIFFERENCE = 1e-5
"""Of a probability: the pipelines take their softmax in numpy, some in float64."""


def check_answer(
    task: str, pipe: Any, model: Any, prepared: Mapping[str, Any], direct: Outputs, answer: Any
) -> bool | None:
    """True where the answer is what the direct call says, None where this task has no such check; else ``MismatchError``.

    ``direct`` are the reference ``model``'s outputs for the inputs that the pipeline ``prepared``.
    """
    work_out = _ANSWERS.get(task)
    if work_out is None:
        return None
    expected = work_out(pipe, model, prepared, direct, answer)
    found = _told(answer)
    if len(expected) != len(found) or not all(
        _equal(one, other) for one, other in zip(expected, found, strict=True)
    ):
        msg = f"the pipeline answers {found}, where a direct call gives {expected}"
        raise MismatchError(msg)
    return True


Answer = list[float | str]


def _told(answer: Any) -> Answer:
    """The numbers or words of a pipeline's answer that a direct call can give too, in the answer's order."""
    if isinstance(answer, dict):
        return [str(answer["text"])]
    return [one["score"] if "score" in one else one["generated_text"] for one in answer]


def _equal(one: float | str, other: float | str) -> bool:
    if isinstance(one, str) or isinstance(other, str):
        return one == other
    return abs(one - other) <= LARGEST_DIFFERENCE


def _class_scores(
    pipe: Any, _model: Any, _prepared: Mapping[str, Any], direct: Outputs, answer: Any
) -> Answer:
    scores = direct["logits"][0].softmax(-1)
    return [float(scores[pipe.model.config.label2id[one["label"]]]) for one in answer]


def _image_label_scores(
    _pipe: Any, _model: Any, _prepared: Mapping[str, Any], direct: Outputs, _answer: Any
) -> Answer:
    return sorted(direct["logits_per_image"][0].softmax(-1).tolist(), reverse=True)


def _mask_scores(pipe: Any, _model: Any, prepared: Mapping[str, Any], direct: Outputs, answer: Any) -> Answer:
    place = (prepared["input_ids"][0] == pipe.tokenizer.mask_token_id).nonzero().item()
    scores = direct["logits"][0, int(place)].softmax(-1)
    return [float(scores[one["token"]]) for one in answer]


def _continuation(
    pipe: Any, model: Any, prepared: Mapping[str, Any], _direct: Outputs, _answer: Any
) -> Answer:
    prompt = {
        name: prepared[name] for name in ("input_ids", "attention_mask", "pixel_values") if name in prepared
    }
    with torch.no_grad():
        tokens = model.generate(
            **prompt, max_new_tokens=NEW_TOKENS, min_new_tokens=NEW_TOKENS, do_sample=False
        )
    new = tokens[0, prompt["input_ids"].shape[1] :]
    return [pipe.tokenizer.decode(new, skip_special_tokens=True)]


_ANSWERS: dict[str, Callable[..., Answer]] = {
    "text-classification": _class_scores,
    "image-classification": _class_scores,
    "audio-classification": _class_scores,
    "zero-shot-image-classification": _image_label_scores,
    "fill-mask": _mask_scores,
    "text-generation": _continuation,
    "image-text-to-text": _continuation,
}
