"""Which of optimum-intel's classes stands for a head, and which model types its exporter has for which task.

Imported only where optimum-intel is installed; elsewhere the route says that it is not.
"""

import importlib.util
from typing import Any

CLASSES: dict[str, tuple[str, ...]] = {
    # The Auto class of a head -> optimum-intel's classes for it, the first that its exporter has the type for.
    "AutoModelForMaskedLM": ("OVModelForMaskedLM",),
    "AutoModelForCausalLM": ("OVModelForCausalLM",),
    "AutoModelForSeq2SeqLM": ("OVModelForSeq2SeqLM",),
    "AutoModelForSequenceClassification": ("OVModelForSequenceClassification",),
    "AutoModelForTokenClassification": ("OVModelForTokenClassification",),
    "AutoModelForQuestionAnswering": ("OVModelForQuestionAnswering",),
    "AutoModelForImageClassification": ("OVModelForImageClassification",),
    "AutoModelForZeroShotImageClassification": ("OVModelForZeroShotImageClassification",),
    "AutoModelForAudioClassification": ("OVModelForAudioClassification",),
    "AutoModelForCTC": ("OVModelForCTC",),
    "AutoModelForSpeechSeq2Seq": ("OVModelForSpeechSeq2Seq",),
    "AutoModelForImageTextToText": ("OVModelForVisualCausalLM", "OVModelForImageTextToText"),
    "AutoModelForVisualQuestionAnswering": ("OVModelForPix2Struct",),
    "AutoModelForMultimodalLM": ("OVModelForVisualCausalLM",),
    "AutoModelForTextToSpectrogram": ("OVModelForTextToSpeechSeq2Seq",),
    "AutoModelForMaskGeneration": ("OVSamModel",),
    "AutoModel": ("OVModelForFeatureExtraction",),
}


class NotExportedError(Exception):
    """optimum-intel's exporter does not have the type, or not for this head."""


def class_for(model_type: str, auto_class: str) -> Any:
    """The class of optimum-intel for the type's head; ``NotExportedError`` with the reason where there is none."""
    if importlib.util.find_spec("optimum") is None:
        import transformers

        msg = f"optimum-intel is not part of this stack: it does not accept transformers {transformers.__version__}"
        raise NotExportedError(msg)
    exported = exported_tasks(model_type)
    if not exported:
        msg = f"optimum-intel's exporter has no model type {model_type}"
        raise NotExportedError(msg)
    from optimum.intel import openvino

    for name in CLASSES.get(auto_class, ()):
        found = getattr(openvino, name, None)
        if found is not None and found.export_feature in exported:
            return found
    msg = f"optimum-intel's exporter has {model_type} for {', '.join(exported)} only, not for {auto_class}"
    raise NotExportedError(msg)


def exported_tasks(model_type: str) -> tuple[str, ...]:
    """The tasks that the installed exporter has the type for, with the installed transformers."""
    from optimum.exporters.openvino import model_configs  # noqa: F401 -- fills the registry
    from optimum.exporters.tasks import TasksManager

    registry: dict[str, Any] = TasksManager._SUPPORTED_MODEL_TYPE  # noqa: SLF001 -- the public call raises
    configs: dict[str, Any] = registry.get(model_type, {}).get("openvino", {})
    return tuple(task for task, made in configs.items() if not task.endswith("-with-past") and _fits(made))


def _fits(made: Any) -> bool:
    """Whether the export config of a task accepts the installed transformers."""
    import transformers
    from packaging.version import Version

    config = getattr(made, "func", made)
    here = Version(Version(transformers.__version__).base_version)
    lowest, highest = (getattr(config, f"{end}_TRANSFORMERS_VERSION", None) for end in ("MIN", "MAX"))
    return (lowest is None or here >= Version(str(lowest))) and (highest is None or here <= Version(str(highest)))
