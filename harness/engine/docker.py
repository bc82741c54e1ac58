"""Docker: three images made where they are not there yet, and a container for each shard."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from docker import DockerClient, errors, from_env

from harness.engine import containers
from harness.engine.building import ENGINE_ERRORS, ensure_base, ensure_image, find
from harness.engine.images import REPOSITORY, Build, Layer, harness_layer, stack_layer, system_layer, torch_layer
from harness.engine.runtime import Ended, Job, Runtime
from harness.engine.torch_build import choose_torch_build
from harness.errors import EnvironmentBrokenError
from harness.matrix import TorchBuild
from harness.records import EngineName

_CONNECT_SECONDS: Final = 10
_ANSWER_SECONDS: Final = 120


class DockerEngine:
    """The engine that DOCKER_HOST, else the usual socket, leads to."""

    name: EngineName = "docker"

    def __init__(self, client: DockerClient) -> None:
        self._client = client

    @classmethod
    def connect(cls, *, seconds: int = _CONNECT_SECONDS) -> "DockerEngine":
        """Ask whether an engine answers; ``EnvironmentBrokenError`` where none does that we can use."""
        try:
            client = from_env(timeout=seconds)
            version: dict[str, Any] = client.version()
        except ENGINE_ERRORS as error:
            raise EnvironmentBrokenError(f"no Docker engine answers: {error}", hint=_mend(error)) from error
        kinds = [str(part.get("Name", "")) for part in version.get("Components") or ()]
        if any("podman" in kind.lower() for kind in kinds):
            raise EnvironmentBrokenError(
                "the engine is Podman, which never says that a container ran out of memory",
                hint="a Docker engine, or --engine local",
            )
        if version.get("Os") != "linux":
            raise EnvironmentBrokenError(f"the engine runs {version.get('Os')} containers, not Linux ones")
        client.api.timeout = _ANSWER_SECONDS
        containers.sweep(client)
        return cls(client)

    def prepare(self, build: Build) -> "Image":
        """The image of the build, made as far as it is not there yet."""
        base = ensure_base(self._client, build.base_image)
        if build.system_packages:
            base = ensure_image(self._client, system_layer(build, base))
        torch = choose_torch_build(build.torch, build.torch_index, lambda one: self._has(torch_layer(build, one, base)))
        lower = ensure_image(self._client, torch_layer(build, torch, base))
        stack = ensure_image(self._client, stack_layer(build, torch, lower))
        harness = harness_layer(build, torch, stack)
        return Image(self._client, harness.tag, ensure_image(self._client, harness), torch)

    def _has(self, layer: Layer) -> bool:
        return find(self._client, layer.tag) is not None

    def prune(self, needed: Sequence[Runtime]) -> list[str]:
        """Delete our images but the needed ones and those that they stand on."""
        keep = {runtime.label for runtime in needed}
        deleted = []
        # From the top down: an image cannot go while another stands on it.
        for kind in ("harness", "stack", "torch", "system"):
            for image in self._client.images.list(filters={"label": f"{REPOSITORY}.image={kind}"}):
                for tag in set(image.tags) - keep:
                    try:
                        self._client.images.remove(tag)
                    except errors.APIError:
                        continue  # an image that is kept stands on it, or a container runs
                    deleted.append(tag)
        return deleted


@dataclass(frozen=True)
class Image:
    """An image that is there, to run shards in."""

    client: DockerClient
    label: str
    id: str
    torch: TorchBuild

    def run(self, job: Job) -> Ended:
        return containers.run(self.client, self.id, job)


def _mend(error: BaseException) -> str:
    """What makes this engine answer."""
    if "permission denied" in str(error).lower():
        return "sudo usermod -aG docker $USER, then log in anew; or --engine local"
    return 'start Docker (as root: eval "$(ci/engine start)"), or --engine local'
