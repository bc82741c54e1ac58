"""The files of a real checkpoint, made ready before the first child is forked: a folder, or a download from the hub.

This is the one place of a run that may use the network. Afterwards the process is offline, and has no token, so that
no cell can ask for anything more.
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from harness.errors import EnvironmentBrokenError, UsageError
from harness.hub import refusal
from harness.records import Weights
from harness.weights import CONFIG, check_folder

# Weights of other frameworks and formats, which are not what is loaded here.
_NEVER: Final = (
    "*.h5", "*.msgpack", "*.ot", "*.onnx", "*.onnx_data", "*.gguf", "*.tflite", "*.mlmodel", "*.mlpackage/*", "*.pb",
    "onnx/*", "openvino/*", "coreml/*", "original/*", "*.ckpt",
)  # fmt: skip
_PICKLES: Final = ("*.bin", "*.pt", "*.pth")
_TOKENS: Final = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH")
_SHA256, _SHA1 = 64, 40


def ready(weights: Weights, folder: Path | None) -> Path:
    """The folder that holds what was planned; ``folder`` is where it is, if not where its name says.

    ``UsageError`` where it is not to be had; ``EnvironmentBrokenError`` where the hub or the way to it is broken.
    """
    if weights.source == "folder":
        place = (folder or Path(weights.name).expanduser()).absolute()
        check_folder(weights, place)
        return place
    try:
        return _download(weights)
    finally:
        _go_offline()


def _download(weights: Weights) -> Path:
    from huggingface_hub import HfApi, constants, snapshot_download

    repository, commit = weights.repository, weights.digest
    try:
        if constants.HF_HUB_OFFLINE:
            place = Path(snapshot_download(repository, revision=commit, local_files_only=True))
        else:
            files = HfApi().list_repo_files(repository, revision=commit)
            # A pickle can run code when it is read: it is taken only where there is nothing else.
            safe = any(name.endswith(".safetensors") for name in files)
            ignored = [*_NEVER, *(_PICKLES if safe else ())]
            place = Path(snapshot_download(repository, revision=commit, ignore_patterns=ignored))
        damaged = list(_damaged(place))
    except Exception as error:
        raise _told(error, repository, constants.ENDPOINT) from error
    if damaged:
        raise EnvironmentBrokenError(
            f"{repository}: {', '.join(damaged)} came damaged: not of the hash that the hub says, and deleted again",
            hint="the next run downloads it anew",
        )
    if not (place / CONFIG).is_file():
        raise EnvironmentBrokenError(f"{repository}: the download is not whole: there is no {CONFIG} in {place}")
    return place


def _damaged(place: Path) -> Iterator[str]:
    """The names of files whose content is not what the name of their blob says; the blobs are deleted.

    A blob is named by its SHA-256 or by git's SHA-1. huggingface_hub compares sizes only.
    """
    for path in sorted(place.rglob("*")):
        blob = path.resolve()
        if path.is_symlink() and blob.is_file() and _hash(blob) not in (None, blob.name):
            blob.unlink()
            path.unlink()
            yield path.relative_to(place).as_posix()


def _hash(blob: Path) -> str | None:
    """What the blob's name should be; None for a name that is no hash."""
    if len(blob.name) == _SHA256:
        told = hashlib.sha256()
    elif len(blob.name) == _SHA1:
        told = hashlib.sha1(b"blob %d\0" % blob.stat().st_size, usedforsecurity=False)
    else:
        return None
    with blob.open("rb") as file:
        while chunk := file.read(1 << 20):
            told.update(chunk)
    return told.hexdigest()


def _told(error: Exception, repository: str, endpoint: str) -> UsageError | EnvironmentBrokenError:
    """What the hub's refusal means; everything that is no refusal is trouble of this machine or of the way there."""
    seen: BaseException | None = error
    while seen is not None:
        answer: Any = getattr(seen, "response", None)
        if answer is not None and isinstance(getattr(answer, "status_code", None), int) and answer.status_code >= 400:
            headers = answer.headers
            return refusal(
                answer.status_code,
                repository,
                endpoint,
                code=headers.get("X-Error-Code"),
                wait=headers.get("Retry-After"),
                with_token=any(os.environ.get(name) for name in _TOKENS),
            )
        seen = seen.__cause__ or seen.__context__
    lines = str(error).strip().splitlines()
    why = f"{type(error).__name__}: {lines[0] if lines else ''}"
    return EnvironmentBrokenError(f"{repository} cannot be downloaded from {endpoint}: {why}")


def _go_offline() -> None:
    from huggingface_hub import constants

    for name in _TOKENS:
        os.environ.pop(name, None)
    os.environ["HF_HUB_OFFLINE"] = "1"
    constants.HF_HUB_OFFLINE = True
