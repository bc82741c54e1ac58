"""A user's ``--weights``: which real checkpoint is meant, of which model type, and what shows that it is the same.

It is looked up before anything is started, so that a wrong name costs nothing. The container looks again: what it
runs must have the digest that was planned.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from harness.errors import UsageError
from harness.hub import Hub
from harness.records import Scale, Weights

SYNTHETIC: Final = "synthetic"
CONFIG: Final = "config.json"
_ADAPTER: Final = "adapter_config.json"
_WEIGHT_FILES: Final = ("*.safetensors", "*.bin")
# As the hub allows them: an owner and a name, or a name alone; and a revision after @.
_ID: Final = re.compile(r"(?:[A-Za-z0-9][\w.-]*/)?[A-Za-z0-9][\w.-]{0,95}(?:@[\w./-]+)?")
_CHUNK: Final = 1 << 20


@dataclass(frozen=True)
class Found:
    """A real checkpoint that is there."""

    weights: Weights
    model_type: str
    """By its own config."""
    brings_code: bool
    """Whether its config names Python files of its own."""


def find(
    words: str | None, *, trust_remote_code: bool = False, environ: Mapping[str, str] = os.environ
) -> Found | None:
    """The checkpoint that the words name, a folder before an id on the hub; None for synthetic weights.

    ``UsageError`` for what is no checkpoint or is not to be had; ``EnvironmentBrokenError`` where the hub cannot say.
    """
    if words is None or words == SYNTHETIC:
        return None
    folder = Path(words).expanduser()
    if folder.is_dir():
        return _in_folder(words, folder, trust_remote_code=trust_remote_code)
    if folder.exists():
        raise UsageError(f"--weights: {words} is a file", hint=f"name its folder, {folder.parent}")
    if words.startswith(("/", ".", "~")) or words.partition("@")[0].count("/") > 1:
        raise UsageError(f"--weights: no such folder: {words}")
    if not _ID.fullmatch(words):
        raise UsageError(
            f"--weights: {words!r} is neither a folder nor an id on the hub (owner/name, owner/name@revision)"
        )
    hub = Hub.from_environment(environ)
    repository, _, revision = words.partition("@")
    commit = hub.commit_of(repository, revision or "main")
    config = _config(hub.file(repository, commit, CONFIG), f"{words}: {CONFIG}")
    weights = Weights(name=words, source="hub", digest=commit, trust_remote_code=trust_remote_code)
    return _found(weights, config)


def _in_folder(words: str, folder: Path, *, trust_remote_code: bool) -> Found:
    if not (folder / CONFIG).is_file():
        adapter = (folder / _ADAPTER).is_file()
        raise UsageError(
            f"--weights: {words}: no {CONFIG} in this folder",
            hint="it holds an adapter alone; merge it into its base model" if adapter else "",
        )
    config = _config((folder / CONFIG).read_bytes(), str(folder / CONFIG))
    if not any(next(folder.glob(pattern), None) for pattern in _WEIGHT_FILES):
        raise UsageError(f"--weights: {words}: no weights in this folder ({' or '.join(_WEIGHT_FILES)})")
    digest = folder_digest(folder)
    return _found(Weights(name=words, source="folder", digest=digest, trust_remote_code=trust_remote_code), config)


def _config(content: bytes, place: str) -> dict[str, Any]:
    try:
        config = json.loads(content)
    except ValueError as error:
        raise UsageError(f"--weights: {place}: not JSON: {error}") from None
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise UsageError(f"--weights: {place}: no model_type in it, so transformers cannot load it")
    return config


def _found(weights: Weights, config: dict[str, Any]) -> Found:
    return Found(weights, config["model_type"], bool(config.get("auto_map")))


def folder_digest(folder: Path) -> str:
    """SHA-256 of the names and contents of all files below the folder, but for hidden ones."""
    told = hashlib.sha256()
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    for name in sorted(paths):
        if any(part.startswith(".") for part in name.split("/")):
            continue  # .git, .cache, an editor's
        told.update(f"{name} {paths[name].stat().st_size}\n".encode())
        with paths[name].open("rb") as file:
            while chunk := file.read(_CHUNK):
                told.update(chunk)
    return told.hexdigest()


def check_folder(weights: Weights, folder: Path) -> None:
    """``UsageError`` unless the folder holds the very checkpoint that was planned."""
    if not folder.is_dir():
        raise UsageError(
            f"the plan's weights {weights.name}: no such folder: {folder}", hint="--weights says where it is"
        )
    try:
        digest = folder_digest(folder)
    except OSError as error:
        raise UsageError(
            f"{folder}: cannot be read by user {os.getuid()}: {error}",
            hint=f"chmod -R a+rX {weights.name}: a container runs as whom its results belong to, and never as root",
        ) from error
    if digest != weights.digest:
        raise UsageError(f"{folder}: not the weights that were planned ({weights.name}, {weights.digest[:12]})")


def note(scale: Scale, weights: Weights | None) -> str:
    """What must stand wherever figures are shown."""
    if weights is not None:
        return f"real weights: {weights.name}"
    return {"tiny": "tiny, synthetic weights", "full": "full size, random weights"}[scale]
