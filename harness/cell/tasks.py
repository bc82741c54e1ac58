"""The tasks whose heads are tested, in the order in which a type's task is chosen.

A type is tested with the head that people use it for: the most particular task first, the bare model last.
"""

from dataclasses import dataclass
from typing import Any

import transformers
from transformers.models.auto import modeling_auto

from harness.records import Recipe


@dataclass(frozen=True)
class Task:
    """What it takes to test a head, and how to know its output.

    ``outputs`` maps the fields that must come out to their dimensions: ``batch``, ``sequence`` (of the text inputs),
    an attribute path of the config, a number, or ``any``.
    """

    name: str
    auto_class: str
    mapping: str
    """Of transformers' modeling_auto: the types that have this head."""
    outputs: dict[str, tuple[str | int, ...]]
    generates: bool = False

    def heads(self) -> dict[str, Any]:
        """Model type to the names of its classes with this head."""
        return dict(getattr(modeling_auto, self.mapping, {}))


def _task(
    name: str, auto_class: str, mapping: str, *, generates: bool = False, **outputs: tuple[str | int, ...]
) -> Task:
    return Task(name, auto_class, f"{mapping}_NAMES", outputs, generates)


_LABELS = ("batch", "num_labels")
_TOKEN_LOGITS = ("batch", "sequence", "vocab_size")
TASKS: tuple[Task, ...] = (
    _task(
        "document-question-answering",
        "AutoModelForDocumentQuestionAnswering",
        "MODEL_FOR_DOCUMENT_QUESTION_ANSWERING_MAPPING",
        start_logits=("batch", "sequence"),
        end_logits=("batch", "sequence"),
    ),
    _task(
        "zero-shot-image-classification",
        "AutoModelForZeroShotImageClassification",
        "MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING",
        logits_per_image=("batch", "batch"),
        logits_per_text=("batch", "batch"),
    ),
    _task(
        "image-text-to-text",
        "AutoModelForImageTextToText",
        "MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING",
        generates=True,
        logits=("batch", "sequence", "any"),
    ),
    _task(
        "automatic-speech-recognition",
        "AutoModelForSpeechSeq2Seq",
        "MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING",
        generates=True,
        logits=("batch", "any", "vocab_size"),
    ),
    _task(
        "automatic-speech-recognition",
        "AutoModelForCTC",
        "MODEL_FOR_CTC_MAPPING",
        logits=("batch", "any", "vocab_size"),
    ),
    _task(
        "object-detection",
        "AutoModelForObjectDetection",
        "MODEL_FOR_OBJECT_DETECTION_MAPPING",
        logits=("batch", "any", "any"),
        pred_boxes=("batch", "any", 4),
    ),
    _task(
        "text2text-generation",
        "AutoModelForSeq2SeqLM",
        "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING",
        generates=True,
        logits=("batch", "any", "any"),
    ),
    _task("fill-mask", "AutoModelForMaskedLM", "MODEL_FOR_MASKED_LM_MAPPING", logits=_TOKEN_LOGITS),
    _task(
        "text-generation",
        "AutoModelForCausalLM",
        "MODEL_FOR_CAUSAL_LM_MAPPING",
        generates=True,
        logits=_TOKEN_LOGITS,
    ),
    _task(
        "image-classification",
        "AutoModelForImageClassification",
        "MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING",
        logits=_LABELS,
    ),
    _task(
        "audio-classification",
        "AutoModelForAudioClassification",
        "MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING",
        logits=_LABELS,
    ),
    _task(
        "text-classification",
        "AutoModelForSequenceClassification",
        "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING",
        logits=_LABELS,
    ),
    _task(
        "token-classification",
        "AutoModelForTokenClassification",
        "MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING",
        logits=("batch", "sequence", "num_labels"),
    ),
    _task(
        "time-series-prediction",
        "AutoModelForTimeSeriesPrediction",
        "MODEL_FOR_TIME_SERIES_PREDICTION_MAPPING",
        prediction_outputs=("batch", "any", "any"),
    ),
    _task("feature-extraction", "AutoModel", "MODEL_MAPPING", last_hidden_state=("batch", "any", "any")),
)


class NoSuchTaskError(Exception):
    """The installed transformers has no such head for this type."""


def task_for(model_type: str, recipe: Recipe | None) -> Task:
    """The task that the recipe names, or the first that the type has; ``NoSuchTaskError`` where there is none."""
    wanted = recipe.task if recipe else None
    own_class = recipe is not None and recipe.model_class is not None
    for task in TASKS:
        if wanted in (None, task.name) and (own_class or model_type in task.heads()):
            return task
    raise no_such_task(model_type, wanted)


def no_such_task(model_type: str, wanted: str | None) -> NoSuchTaskError:
    """The error, with the version that it holds for."""
    head = f"the task {wanted}" if wanted else "any task"
    return NoSuchTaskError(f"transformers {transformers.__version__} maps no model class of {model_type} to {head}")
