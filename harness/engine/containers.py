"""One shard in one container: walled in, watched to its end, and never left behind."""

import contextlib
import dataclasses
import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import docker.errors
import psutil
from docker import DockerClient
from docker.models.containers import Container
from docker.types import DeviceRequest

from harness.engine.building import ENGINE_ERRORS
from harness.engine.images import REPOSITORY
from harness.engine.runtime import Ended, Job
from harness.engine.signals import uninterrupted
from harness.errors import EnvironmentBrokenError
from harness.gpus import Gpus
from harness.no_device import explained
from harness.terminal import say, say_loudly

RESULTS: Final = "/results"
KILLED: Final = 137
# Who runs in the container where the results folder belongs to root, who has no place there.
NOBODY_IN_PARTICULAR: Final = 10001
_STOP_SECONDS: Final = 5
_END_SECONDS: Final = 60  # from the end of its output to the end of the container
_SAME_TIME_SECONDS: Final = 2.0


class _NoGpuError(Exception):
    """The engine refused to start a container with GPUs; the message says why."""


def run(client: DockerClient, image: str, job: Job) -> Ended:
    """Run ``python -m harness run`` for the shard in a container of ``image``; its output is ours.

    Where the engine cannot give it the GPUs that it is to have, a container without them writes that down: a cell
    for everything that was planned, and nothing run on the CPU instead.
    """
    try:
        return _run(client, image, job)
    except _NoGpuError as refused:
        say_loudly(f"No GPU: {refused}")
        settings = {**(job.settings or {}), "HARNESS_NO_DEVICE": str(refused)}
        return _run(client, image, dataclasses.replace(job, gpus=None, settings=settings))


def _run(client: DockerClient, image: str, job: Job) -> Ended:
    with _non_root_owner(job.folder) as user:
        container = _create(client, image, job, user)
        try:
            # Attached before it starts, so that nothing it says is missed.
            output = container.attach(stream=True, logs=True, demux=True)
            _start(container, job)
            _show(output)
            code = int(container.wait(timeout=_END_SECONDS)["StatusCode"])
            container.reload()
            return Ended(code=code, out_of_memory=bool(container.attrs["State"].get("OOMKilled")))
        except ENGINE_ERRORS as error:
            raise EnvironmentBrokenError(f"the container of shard {job.shard} broke: {error}") from error
        finally:
            with uninterrupted():
                _remove(container)


def _start(container: Container, job: Job) -> None:
    try:
        container.start()
    except docker.errors.APIError as error:
        told = str(error.explanation or error)
        if job.gpus is not None and (why := explained(told)):
            raise _NoGpuError(why) from error
        raise


def _device_requests(gpus: Gpus | None) -> list[DeviceRequest] | None:
    if gpus is None:
        return None
    # compute and utility are the driver's libraries for CUDA and for nvidia-smi; more than gpu alone may bring.
    which = {"device_ids": list(gpus.ids)} if gpus.ids else {"count": -1 if gpus.count is None else gpus.count}
    return [DeviceRequest(capabilities=[["gpu", "compute", "utility"]], **which)]


def _create(client: DockerClient, image: str, job: Job, user: str) -> Container:
    limits = job.limits
    try:
        return client.containers.create(
            image,
            ["run", "--plan", f"{RESULTS}/plan.json", "--shard", job.shard, "--out", RESULTS, *job.words],
            environment={"HARNESS_IMAGE": image, **(job.settings or {})},
            labels=Parent.this().labels(),
            user=user,
            init=True,  # without it a signal that the harness sends itself is ignored: it would be process 1
            network_mode="none",
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            mem_limit=limits.memory,
            memswap_limit=limits.memory,  # the same: no swap, which would only hide what a model takes
            pids_limit=limits.pids,
            shm_size=limits.shm,
            tmpfs={"/tmp": f"rw,exec,nosuid,nodev,mode=1777,size={limits.tmpfs}"},  # noqa: S108
            device_requests=_device_requests(job.gpus),
            volumes={str(job.folder.resolve()): {"bind": RESULTS, "mode": "rw"}},
        )
    except ENGINE_ERRORS as error:
        raise EnvironmentBrokenError(f"the container of shard {job.shard} cannot be made: {error}") from error


def _show(output: Iterator[tuple[bytes | None, bytes | None]]) -> None:
    for out, error in output:
        for content, stream in ((out, sys.stdout), (error, sys.stderr)):
            if content:
                stream.write(content.decode("utf-8", errors="replace"))
                stream.flush()


def _remove(container: Container) -> None:
    """Stop it, politely at first, and delete it."""
    try:
        # Docker's own patience is not enough for one that was never started, or is gone.
        with contextlib.suppress(docker.errors.APIError):
            container.stop(timeout=_STOP_SECONDS)
        container.remove(force=True, v=True)
    except docker.errors.NotFound:
        pass
    except ENGINE_ERRORS as error:
        say(f"container {container.name} could not be removed (the next start tries again): {error}")


@contextlib.contextmanager
def _non_root_owner(folder: Path) -> Iterator[str]:
    """The ``uid:gid`` that owns the folder, for the container to run as; for its time root gives it away."""
    owner = folder.stat()
    if owner.st_uid != 0:
        yield f"{owner.st_uid}:{owner.st_gid}"
        return
    try:
        _give(folder, NOBODY_IN_PARTICULAR, NOBODY_IN_PARTICULAR)
    except PermissionError as error:
        raise EnvironmentBrokenError(
            f"{folder} belongs to root, and this is not root", hint=f"sudo chown -R $(id -u) {folder}"
        ) from error
    try:
        yield f"{NOBODY_IN_PARTICULAR}:{NOBODY_IN_PARTICULAR}"
    finally:
        with uninterrupted():
            _give(folder, 0, owner.st_gid)


def _give(folder: Path, user: int, group: int) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, user, group, follow_symlinks=False)


# --- whose containers they are ------------------------------------------------------------------------


@dataclass(frozen=True)
class Parent:
    """The process that a container belongs to, so that after its death the container can be told."""

    machine: str
    """Where the process number means this process: host and process namespace."""
    pid: int
    started: float

    @classmethod
    def this(cls) -> "Parent":
        return cls(_machine(), os.getpid(), psutil.Process().create_time())

    @classmethod
    def of(cls, labels: dict[str, str]) -> "Parent | None":
        try:
            return cls(
                labels[f"{REPOSITORY}.machine"],
                int(labels[f"{REPOSITORY}.pid"]),
                float(labels[f"{REPOSITORY}.started"]),
            )
        except (KeyError, ValueError):
            return None

    def labels(self) -> dict[str, str]:
        return {
            f"{REPOSITORY}.machine": self.machine,
            f"{REPOSITORY}.pid": str(self.pid),
            f"{REPOSITORY}.started": str(self.started),
        }

    def is_known_dead(self) -> bool:
        """False also where it cannot be known, because the process is another machine's."""
        if self.machine != _machine():
            return False
        try:
            return abs(psutil.Process(self.pid).create_time() - self.started) > _SAME_TIME_SECONDS
        except psutil.NoSuchProcess:
            return True


def _machine() -> str:
    parts = [platform.node()]
    with contextlib.suppress(OSError):
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return "/".join(parts)


def sweep(client: DockerClient) -> int:
    """Remove the containers of parents that were killed; how many there were."""
    swept = 0
    try:
        for container in client.containers.list(all=True, filters={"label": f"{REPOSITORY}.pid"}):
            parent = Parent.of(_labels(container))
            if parent is not None and parent.is_known_dead():
                say(f"removing container {container.name}, which a run that was killed left behind")
                _remove(container)
                swept += 1
    except ENGINE_ERRORS as error:
        say(f"leftover containers could not be looked for: {error}")
    return swept


def _labels(container: Any) -> dict[str, str]:
    labels: dict[str, str] = container.labels
    return labels
