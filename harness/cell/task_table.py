"""The table of tasks: which Auto class loads a head, which types have it, and what must come out of it.

The order is that in which a type's task is chosen: the most particular head first, the bare model last. A task that
``pipeline()`` knows has the name that it has there.
"""

from dataclasses import dataclass, field
from typing import Any

Dimensions = tuple[str | int, ...]


@dataclass(frozen=True)
class Task:
    """What it takes to test a head, and how to know its output."""

    name: str
    auto_class: str
    mapping: str
    """Of transformers' modeling_auto: the types that have this head."""
    outputs: dict[str, Dimensions] = field(default_factory=dict)
    """The fields that must come out, each with its dimensions: ``batch``, ``sequence`` (of the text inputs), an
    attribute of the config, a number, or ``any``. Empty: whatever the head calls its first output."""
    generates: bool = False
    main_input: str | None = None
    """Only for types whose class names this as its main input."""
    by_name_only: bool = False
    """Never chosen unless a recipe names it."""


def _task(
    name: str,
    auto_class: str,
    mapping: str,
    *,
    generates: bool = False,
    main_input: str | None = None,
    by_name_only: bool = False,
    **outputs: Any,
) -> Task:
    loader = "AutoBackbone" if auto_class == "Backbone" else f"AutoModel{auto_class}"
    return Task(name, loader, f"MODEL_{mapping}_NAMES", outputs, generates, main_input, by_name_only)


_LABELS = ("batch", "num_labels")
_LOGITS = ("batch", "any", "any")
_TOKEN_LOGITS = ("batch", "sequence", "vocab_size")
_MASKS = ("batch", "any", "any", "any")
_JOINT = ("batch", "any", "any", "any")
"""Of a transducer: every frame with every token so far."""

TASKS: tuple[Task, ...] = (
    _task(
        "document-question-answering",
        "ForDocumentQuestionAnswering",
        "FOR_DOCUMENT_QUESTION_ANSWERING_MAPPING",
        start_logits=("batch", "sequence"),
        end_logits=("batch", "sequence"),
    ),
    _task(
        "table-question-answering",
        "ForTableQuestionAnswering",
        "FOR_TABLE_QUESTION_ANSWERING_MAPPING",
        logits=("batch", "sequence"),
    ),
    _task(
        "zero-shot-object-detection",
        "ForZeroShotObjectDetection",
        "FOR_ZERO_SHOT_OBJECT_DETECTION_MAPPING",
        pred_boxes=("batch", "any", 4),
    ),
    _task(
        "zero-shot-image-classification",
        "ForZeroShotImageClassification",
        "FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING",
        logits_per_image=("batch", "batch"),
    ),
    _task("mask-generation", "ForMaskGeneration", "FOR_MASK_GENERATION_MAPPING"),
    _task("keypoint-matching", "ForKeypointMatching", "FOR_KEYPOINT_MATCHING_MAPPING"),
    _task("keypoint-detection", "ForKeypointDetection", "FOR_KEYPOINT_DETECTION_MAPPING"),
    _task(
        "depth-estimation",
        "ForDepthEstimation",
        "FOR_DEPTH_ESTIMATION_MAPPING",
        predicted_depth=("batch", "any", "any"),
    ),
    _task("normal-estimation", "ForNormalEstimation", "FOR_NORMAL_ESTIMATION_MAPPING"),
    _task("pointmap-estimation", "ForPointmapEstimation", "FOR_POINTMAP_ESTIMATION_MAPPING"),
    _task("pose-estimation", "ForPoseEstimation", "FOR_POSE_ESTIMATION_MAPPING"),
    _task("image-matting", "ForImageMatting", "FOR_IMAGE_MATTING_MAPPING"),
    _task("image-to-image", "ForImageToImage", "FOR_IMAGE_TO_IMAGE_MAPPING"),
    _task(
        "object-detection",
        "ForObjectDetection",
        "FOR_OBJECT_DETECTION_MAPPING",
        logits=_LOGITS,
        pred_boxes=("batch", "any", 4),
    ),
    _task(
        "image-segmentation",
        "ForUniversalSegmentation",
        "FOR_UNIVERSAL_SEGMENTATION_MAPPING",
        class_queries_logits=("batch", "any", "any"),
        masks_queries_logits=_MASKS,
    ),
    _task(
        "image-segmentation",
        "ForSemanticSegmentation",
        "FOR_SEMANTIC_SEGMENTATION_MAPPING",
        logits=("batch", "num_labels", "any", "any"),
    ),
    _task("image-segmentation", "ForImageSegmentation", "FOR_IMAGE_SEGMENTATION_MAPPING", pred_masks=_MASKS),
    _task("video-classification", "ForVideoClassification", "FOR_VIDEO_CLASSIFICATION_MAPPING", logits=_LABELS),
    _task("table-recognition", "ForTableRecognition", "FOR_TABLE_RECOGNITION_MAPPING"),
    _task("text-recognition", "ForTextRecognition", "FOR_TEXT_RECOGNITION_MAPPING"),
    _task(
        "visual-question-answering",
        "ForVisualQuestionAnswering",
        "FOR_VISUAL_QUESTION_ANSWERING_MAPPING",
        logits=("batch", "any"),
    ),
    _task(
        "image-text-to-text",
        "ForImageTextToText",
        "FOR_IMAGE_TEXT_TO_TEXT_MAPPING",
        generates=True,
        logits=_LOGITS,
    ),
    _task("any-to-any", "ForMultimodalLM", "FOR_MULTIMODAL_LM_MAPPING", generates=True, logits=_LOGITS),
    _task("text-to-audio", "ForTextToWaveform", "FOR_TEXT_TO_WAVEFORM_MAPPING"),
    _task("text-to-audio", "ForTextToSpectrogram", "FOR_TEXT_TO_SPECTROGRAM_MAPPING"),
    _task(
        "automatic-speech-recognition",
        "ForSpeechSeq2Seq",
        "FOR_SPEECH_SEQ_2_SEQ_MAPPING",
        generates=True,
        logits=_LOGITS,
    ),
    _task("automatic-speech-recognition", "ForCTC", "FOR_CTC_MAPPING", logits=("batch", "any", "vocab_size")),
    _task("automatic-speech-recognition", "ForTDT", "FOR_TDT_MAPPING", logits=_JOINT),
    _task("speech-transduction", "ForRNNT", "FOR_RNNT_MAPPING", logits=_JOINT),
    _task("audio-tokenization", "ForAudioTokenization", "FOR_AUDIO_TOKENIZATION"),
    _task(
        "text2text-generation",
        "ForSeq2SeqLM",
        "FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING",
        generates=True,
        logits=_LOGITS,
    ),
    _task("fill-mask", "ForMaskedLM", "FOR_MASKED_LM_MAPPING", logits=_TOKEN_LOGITS),
    _task("text-generation", "ForCausalLM", "FOR_CAUSAL_LM_MAPPING", generates=True, logits=_TOKEN_LOGITS),
    _task("image-classification", "ForImageClassification", "FOR_IMAGE_CLASSIFICATION_MAPPING", logits=_LABELS),
    _task("audio-classification", "ForAudioClassification", "FOR_AUDIO_CLASSIFICATION_MAPPING", logits=_LABELS),
    _task("text-classification", "ForSequenceClassification", "FOR_SEQUENCE_CLASSIFICATION_MAPPING", logits=_LABELS),
    _task(
        "token-classification",
        "ForTokenClassification",
        "FOR_TOKEN_CLASSIFICATION_MAPPING",
        logits=("batch", "sequence", "num_labels"),
    ),
    _task(
        "time-series-prediction",
        "ForTimeSeriesPrediction",
        "FOR_TIME_SERIES_PREDICTION_MAPPING",
    ),
    _task("retrieval", "ForRetrieval", "FOR_RETRIEVAL_MAPPING"),
    _task("decision", "ForDecision", "FOR_DECISION_MAPPING"),
    _task("masked-image-modeling", "ForMaskedImageModeling", "FOR_MASKED_IMAGE_MODELING_MAPPING"),
    # Heads that other tasks are made of; only a recipe chooses them.
    _task(
        "zero-shot-classification",
        "ForSequenceClassification",
        "FOR_SEQUENCE_CLASSIFICATION_MAPPING",
        by_name_only=True,
        logits=_LABELS,
    ),
    _task(
        "zero-shot-audio-classification",
        "",
        "MAPPING",
        by_name_only=True,
        logits_per_audio=("batch", "batch"),
    ),
    _task(
        "question-answering",
        "ForQuestionAnswering",
        "FOR_QUESTION_ANSWERING_MAPPING",
        by_name_only=True,
        start_logits=("batch", "sequence"),
        end_logits=("batch", "sequence"),
    ),
    *(
        _task(
            name,
            "ForSeq2SeqLM",
            "FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING",
            by_name_only=True,
            generates=True,
            logits=_LOGITS,
        )
        for name in ("summarization", "translation")
    ),
    _task(
        "image-to-text",
        "ForVision2Seq",
        "FOR_VISION_2_SEQ_MAPPING",
        by_name_only=True,
        generates=True,
        logits=_LOGITS,
    ),
    # The bare model.
    _task("feature-extraction", "", "MAPPING", main_input="input_ids"),
    _task("image-feature-extraction", "", "MAPPING", main_input="pixel_values"),
    _task("features", "", "MAPPING"),
    _task("backbone", "Backbone", "FOR_BACKBONE_MAPPING"),
    _task("pretraining", "ForPreTraining", "FOR_PRETRAINING_MAPPING"),
)
