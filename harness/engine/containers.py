"""One shard in one container: walled in, watched to its end, and never left behind."""

import contextlib
import dataclasses
import os
import platform
import sys
from collections.abc import Callable, Iterator
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
from harness.engine.runtime import Download, Ended, Job
from harness.engine.signals import uninterrupted
from harness.errors import EnvironmentBrokenError
from harness.gpus import Gpus
from harness.no_device import explained
from harness.terminal import say, say_loudly

RESULTS: Final = "/results"
WEIGHTS: Final = "/weights"
CACHE: Final = "/hub"
CERTIFICATES: Final = "/certificates.pem"
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
    with contextlib.ExitStack() as given:
        user = given.enter_context(_non_root_owner(job.folder))
        if job.download is not None:
            job.download.model.mkdir(parents=True, exist_ok=True)
            given.enter_context(_owned_by(job.download.model, user))
        container = _create(client, image, job, user)
        try:
            # Attached before it starts, so that nothing it says is missed.
            output = container.attach(stream=True, logs=True, demux=True)
            _start(container, job)
            _show(output, job.show)
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
            [
                *("run", "--plan", f"{RESULTS}/plan.json", "--shard", job.shard, "--out", RESULTS, *job.words),
                *(("--weights", WEIGHTS) if job.weights is not None else ()),
            ],
            environment={"HARNESS_IMAGE": image, **job.variables, **_download_settings(job.download)},
            labels=Parent.this().labels(),
            user=user,
            init=True,  # without it a signal that the harness sends itself is ignored: it would be process 1
            network_mode="none" if job.download is None else "bridge",
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            mem_limit=limits.memory,
            memswap_limit=limits.memory,  # the same: no swap, which would only hide what a model takes
            pids_limit=limits.pids,
            shm_size=limits.shm,
            tmpfs={
                "/tmp": f"rw,exec,nosuid,nodev,mode=1777,size={limits.tmpfs}",  # noqa: S108
                **({CACHE: "rw,nosuid,nodev,mode=1777,size=16m"} if job.download else {}),
            },
            device_requests=_device_requests(job.gpus),
            volumes=_mounts(job),
        )
    except ENGINE_ERRORS as error:
        raise EnvironmentBrokenError(f"the container of shard {job.shard} cannot be made: {error}") from error


def _mounts(job: Job) -> list[str]:
    """The results, read-write; real weights, read-only; of the user's hub cache the one model that is asked for."""
    mounts = [f"{job.folder.resolve()}:{RESULTS}:rw"]
    if job.weights is not None:
        folder = job.weights.resolve()
        links = [path for path in folder.rglob("*") if path.is_symlink() and not path.resolve().is_relative_to(folder)]
        if links:
            # As in the hub's cache: in the container such a link would lead nowhere, so each file is mounted itself.
            files = [path for path in folder.rglob("*") if path.is_file()]
            mounts += [f"{path.resolve()}:{WEIGHTS}/{path.relative_to(folder)}:ro" for path in files]
        else:
            mounts.append(f"{folder}:{WEIGHTS}:ro")
    if job.download is not None:
        model = job.download.model
        mounts.append(f"{model.resolve()}:{CACHE}/{model.name}:rw")
        if job.download.ca_bundle is not None:
            mounts.append(f"{job.download.ca_bundle.resolve()}:{CERTIFICATES}:ro")
    return mounts


def _download_settings(download: Download | None) -> dict[str, str]:
    """The user's own settings, with the places that they have in the container."""
    if download is None:
        return {}
    certificates = {} if download.ca_bundle is None else {"SSL_CERT_FILE": CERTIFICATES}
    return {**download.settings, "HF_HUB_CACHE": CACHE, **certificates}


def _show(output: Iterator[tuple[bytes | None, bytes | None]], show: Callable[[str], None] | None) -> None:
    for out, error in output:
        for content, stream in ((out, sys.stdout), (error, sys.stderr)):
            if not content:
                continue
            text = content.decode("utf-8", errors="replace")
            if show is not None:
                show(text)
            else:
                stream.write(text)
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
    with _owned_by(folder, f"{NOBODY_IN_PARTICULAR}:{NOBODY_IN_PARTICULAR}") as user:
        yield user


@contextlib.contextmanager
def _owned_by(folder: Path, user: str) -> Iterator[str]:
    """Let the folder, where it belongs to root, belong to ``uid:gid`` for this time."""
    owner = folder.stat()
    if owner.st_uid != 0:
        yield user
        return
    try:
        _give(folder, *map(int, user.split(":")))
    except PermissionError as error:
        raise EnvironmentBrokenError(
            f"{folder} belongs to root, and this is not root", hint=f"sudo chown -R $(id -u) {folder}"
        ) from error
    try:
        yield user
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
