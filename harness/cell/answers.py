"""A pipeline's answer worked out by hand from a direct call, for the tasks where that takes a few lines.

The comparison of the model's numbers shows that the pipeline ran the right model on its inputs; this shows that
what it made of those numbers is right too.
"""

from collections.abc import Callable
from typing import Any

from harness.cell import versions
from harness.cell.outputs import SEED, MismatchError
from harness.cell.recording import Recording
from harness.cell.seeding import seed

LARGEST_DIFFERENCE = 1e-5
"""Of a probability: the pipelines take their softmax in numpy, some in float64."""


def check_answer(task: str, pipe: Any, direct: Recording, answer: Any, tolerance: float) -> bool | None:
    """True where the pipeline's answer is what the direct call makes it; None where this task has no such check.

    ``MismatchError`` where it is something else. ``direct`` is the reference model, asked what the pipeline
    asked its own.
    """
    work_out = _ANSWERS.get(task)
    if work_out is None:
        return None
    expected = work_out(pipe, direct, answer)
    found = _told(answer)
    largest = max(LARGEST_DIFFERENCE, tolerance)
    if len(expected) != len(found) or not all(
        _equal(one, other, largest) for one, other in zip(expected, found, strict=True)
    ):
        msg = f"the pipeline answers {found}, where a direct call gives {expected}"
        raise MismatchError(msg)
    return True


Answer = list[float | str]


def _told(answer: Any) -> Answer:
    """The numbers or words of a pipeline's answer that a direct call can give too, in the answer's order."""
    if isinstance(answer, dict) and "text" not in answer:
        return [float(one) for value in answer.values() for one in value.flatten()]
    if isinstance(answer, dict):
        return [str(answer["text"])]
    return [one["score"] if "score" in one else one["generated_text"] for one in answer]


def _equal(one: float | str, other: float | str, largest: float) -> bool:
    if isinstance(one, str) or isinstance(other, str):
        return one == other
    return abs(one - other) <= largest


def _class_scores(pipe: Any, direct: Recording, answer: Any) -> Answer:
    scores = direct.outputs["logits"][0].softmax(-1)
    return [float(scores[pipe.model.config.label2id[one["label"]]]) for one in answer]


def _image_label_scores(pipe: Any, direct: Recording, _answer: Any) -> Answer:
    logits = direct.outputs["logits_per_image"][0]
    # Labels that exclude each other share one probability; those of the sigmoid loss have one each. transformers'
    # pipeline tells the two by this very word.
    scores = logits.sigmoid() if "siglip" in pipe.model.config.model_type else logits.softmax(-1)
    return sorted(scores.tolist(), reverse=True)


def _mask_scores(pipe: Any, direct: Recording, answer: Any) -> Answer:
    place = int((direct.inputs["input_ids"][0] == pipe.tokenizer.mask_token_id).nonzero().item())
    scores = direct.outputs["logits"][0, place].softmax(-1)
    return [float(scores[one["token"]]) for one in answer]


def _continued(pipe: Any, direct: Recording, _answer: Any) -> Answer:
    assert direct.tokens is not None and direct.generate_inputs is not None  # noqa: S101, PT018 -- this task generates
    return [versions.continuation(pipe, direct.generate_inputs["input_ids"][0], direct.tokens[0])]


def _written(pipe: Any, direct: Recording, _answer: Any) -> Answer:
    assert direct.tokens is not None  # noqa: S101 -- these tasks generate
    return [pipe.tokenizer.decode(direct.tokens[0], skip_special_tokens=True, clean_up_tokenization_spaces=False)]


def _continuation(pipe: Any, direct: Recording, _answer: Any) -> Answer:
    assert direct.tokens is not None and direct.generate_inputs is not None  # noqa: S101, PT018 -- these tasks generate
    asked, tokens = direct.generate_inputs, direct.tokens[0]
    if "input_ids" in asked and not pipe.model.config.is_encoder_decoder:
        length = asked["input_ids"].shape[1]
    else:
        length = _opening(tokens, asked.get("decoder_input_ids", asked.get("input_ids")))
    said, prompt = (pipe.tokenizer.decode(ids, skip_special_tokens=True) for ids in (tokens, tokens[:length]))
    if said.startswith(prompt):  # as the pipeline takes it: some write a space between words, and none before
        return [said[len(prompt) :]]
    return [pipe.tokenizer.decode(tokens[length:], skip_special_tokens=True)]


def _opening(tokens: Any, prompt: Any) -> int:
    """How many of a decoder's tokens are its prompt, with the start token before it where the prompt lacks that.

    None where the prompt was for the encoder: what a decoder says holds no word of what the encoder read.
    """
    asked, said = ([] if prompt is None else prompt[0].tolist()), tokens.tolist()
    ends = (start + len(asked) for start in (0, 1) if asked and said[start : start + len(asked)] == asked)
    return next(ends, 0)


def _of_reference(pipe: Any, _direct: Recording, _answer: Any) -> Answer:
    """The whole pipeline in memory, from which this one was saved, asked the same: all its models take part."""
    seed(SEED)
    return _told(pipe.reference(**pipe.example.fresh()))


_ANSWERS: dict[str, Callable[..., Answer]] = {
    "text-classification": _class_scores,
    "image-classification": _class_scores,
    "audio-classification": _class_scores,
    "zero-shot-image-classification": _image_label_scores,
    "fill-mask": _mask_scores,
    "text-generation": _continued,
    "text2text-generation": _written,
    "image-text-to-text": _continuation,
    "text-to-audio-diffusion": _of_reference,
    "super-resolution-diffusion": _of_reference,
}
