"""Building and pulling images with an engine, with its log shown, and its failures told with their end."""

import collections
import io
import re
from collections.abc import Iterator
from typing import Any, Final

import docker
import docker.errors
import requests
import urllib3.exceptions
from docker import DockerClient

from harness.engine.images import REPOSITORY, Layer
from harness.errors import EnvironmentBrokenError
from harness.terminal import plain, say, size, told_while_silent

# All that talking to an engine can raise: its own answers, a broken connection, an answer that is no JSON.
ENGINE_ERRORS: Final = (
    docker.errors.DockerException, docker.errors.StreamParseError, requests.RequestException,
    urllib3.exceptions.HTTPError, OSError,
)  # fmt: skip
INSTALL_STAGE: Final = f"{REPOSITORY}.stage=install"
# The engine says nothing while it writes a layer of gigabytes.
SILENCE_SECONDS: Final = 1800
_TAIL_LINES: Final = 25
# The engine's own notes between steps, and uv's list of versions, which the pins have: nothing for a reader.
_BOOKKEEPING: Final = (" ---> ", "Removing intermediate container ", " + ")
_LINE_LETTERS: Final = 150
_STEP: Final = re.compile(r"(Step \d+/\d+ : \w+)")


def ensure_image(client: DockerClient, layer: Layer) -> str:
    """The id of the layer's image, which is built if it is not there."""
    found = find(client, layer.tag)
    if found is not None:
        return found
    if layer.download_bytes is not None:
        say(f"{layer.tag}: not there yet; about {size(layer.download_bytes)} to download")
    elif layer.kind != "harness":
        say(f"{layer.tag}: not there yet; a download of unknown size (torch's index tells none)")
    try:
        _build(client, layer)
    finally:
        _prune(client)
    found = find(client, layer.tag)
    if found is None:
        raise EnvironmentBrokenError(f"the engine says that it built {layer.tag}, and does not have it")
    return found


def find(client: DockerClient, tag: str) -> str | None:
    """The id of an image that the engine has, or None."""
    try:
        return str(client.images.get(tag).id)
    except docker.errors.ImageNotFound:
        return None
    except ENGINE_ERRORS as error:
        raise EnvironmentBrokenError(f"the Docker engine cannot say whether it has {tag}: {error}") from error


def _build(client: DockerClient, layer: Layer) -> None:
    log: collections.deque[str] = collections.deque(maxlen=_TAIL_LINES)
    try:
        events = client.api.build(
            fileobj=io.BytesIO(layer.context()),
            custom_context=True,
            dockerfile=layer.dockerfile,
            tag=layer.tag,
            buildargs={"PARENT": layer.parent, **layer.arguments},
            labels={f"{REPOSITORY}.image": layer.kind},
            rm=True,
            forcerm=True,
            decode=True,
            timeout=SILENCE_SECONDS,
        )
        for line in _told_while_silent(layer, _lines(events)):
            log.append(line)
            if not line.startswith(_BOOKKEEPING):
                say(f"{layer.name} | {_shortened(line)}")
    except _StepError as error:
        raise EnvironmentBrokenError(_told(f"building {layer.tag} failed: {error}", log)) from None
    except ENGINE_ERRORS as error:
        raise EnvironmentBrokenError(
            _told(f"the engine stopped answering while it built {layer.tag}: {error}", log)
        ) from error


class _StepError(Exception):
    """The engine's own word that a step failed."""


def _lines(events: Iterator[dict[str, Any]]) -> Iterator[str]:
    """Whole lines of the log: the engine sends fragments, and colours."""
    rest = ""
    for event in events:
        if "error" in event:
            raise _StepError(plain(str(event["error"])).strip())
        rest += str(event.get("stream", ""))
        *whole, rest = rest.replace("\r", "\n").split("\n")
        yield from (line for line in map(str.rstrip, map(plain, whole)) if line)
    if rest.strip():
        yield plain(rest).strip()


def _told_while_silent(layer: Layer, lines: Iterator[str]) -> Iterator[str]:
    """The lines; where the next one takes long (a layer of gigabytes being written), that it is waited for."""
    waiting: str = "starting"
    while True:
        with told_while_silent(f"{layer.name} | … {waiting}"):
            line = next(lines, None)
        if line is None:
            return
        waiting = f"still at {match[1]}" if (match := _STEP.match(line)) else waiting
        yield line


def _shortened(line: str) -> str:
    """On one line of a terminal: a Dockerfile's command has its continued lines joined by many blanks."""
    text = re.sub(r"(?<=\S)\s+", " ", line)
    return text if len(text) <= _LINE_LETTERS else f"{text[: _LINE_LETTERS - 2]} …"


def _told(message: str, log: collections.deque[str]) -> str:
    return "\n".join([message, *(f"    {line}" for line in log)])


def _prune(client: DockerClient) -> None:
    """Delete the stages that installed: they hold the CA bundle, and gigabytes a second time."""
    try:
        client.images.prune(filters={"dangling": True, "label": INSTALL_STAGE})
    except ENGINE_ERRORS as error:
        say(f"leftover build stages could not be deleted: {error}")


# --- the base image -----------------------------------------------------------------------------------


def ensure_base(client: DockerClient, name: str) -> str:
    """The id of the base image, which is pulled if it is not there."""
    found = find(client, name)
    if found is not None:
        return found
    say(f"pulling {name}")
    hint = 'another base image: MATRIX_BASE_IMAGE=NAME; one made on this machine: MATRIX_BASE_IMAGE="$(ci/base-image)"'
    repository, tag = _split(name)
    try:
        for event in client.api.pull(repository, tag=tag, stream=True, decode=True):
            if "error" in event:
                raise EnvironmentBrokenError(
                    f"base image {name}: not there, and cannot be pulled: {event['error']}", hint=hint
                )
            if "progress" not in event and event.get("status"):
                say(f"pull | {event.get('id', name)}: {event['status']}")
    except ENGINE_ERRORS as error:
        raise EnvironmentBrokenError(
            f"base image {name}: not there, and cannot be pulled: {error}", hint=hint
        ) from error
    found = find(client, name)
    if found is None:
        raise EnvironmentBrokenError(f"base image {name}: pulled, and still not there", hint=hint)
    return found


def _split(name: str) -> tuple[str, str | None]:
    """Repository and tag as the engine wants them: a digest is a tag to it, and no tag means latest."""
    from docker.utils import parse_repository_tag

    repository, tag = parse_repository_tag(name)
    return repository, tag or "latest"
