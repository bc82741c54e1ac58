"""Where a shard is measured: the machine, the limits and every installed package."""

import contextlib
import importlib.metadata
import os
import platform
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import get_args

import psutil

from harness.errors import UsageError
from harness.records import EngineName, Environment

_CGROUP = Path("/sys/fs/cgroup")
_CGROUP_PEAKS = ("memory.peak", "memory/memory.max_usage_in_bytes")
_CGROUP_CPU = ("cpu.max", "cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")  # version 2, then version 1's two
_CGROUP_LIMITS = ("memory.max", "memory/memory.limit_in_bytes")  # version 2, version 1


def describe(jobs: int, threads_per_child: int, environ: Mapping[str, str] = os.environ) -> Environment:
    """This environment. What the image and its runner say of themselves comes in by ``HARNESS_*`` variables."""
    engine = environ.get("HARNESS_ENGINE", "local")
    if engine not in get_args(EngineName):
        raise UsageError(f"HARNESS_ENGINE is {engine!r}, not one of {', '.join(get_args(EngineName))}")
    packages = packages_installed()
    return Environment(
        engine="docker" if engine == "docker" else "local",
        image=environ.get("HARNESS_IMAGE"),
        torch_build=environ.get("HARNESS_TORCH_BUILD") or _torch_build(packages),
        python=platform.python_version(),
        packages=packages,
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        cpu=_cpu(),
        cores=usable_cores(),
        memory_bytes=usable_memory(),
        threads_per_child=threads_per_child,
        jobs=jobs,
    )


def packages_installed() -> dict[str, str]:
    """Version by name of every installed distribution, in the order of the names."""
    told = (one.metadata for one in importlib.metadata.distributions())  # read once: each is a file to parse
    return dict(sorted((one["Name"].lower(), one["Version"]) for one in told))


def usable_cores() -> int:
    """The cores that this process may run on, or as many as its control group may keep busy, where that is fewer."""
    cores = len(os.sched_getaffinity(0))
    with contextlib.suppress(OSError, ValueError):  # no file, or "max": no such limit
        if (_CGROUP / _CGROUP_CPU[0]).exists():
            quota, period = map(int, (_CGROUP / _CGROUP_CPU[0]).read_text(encoding="ascii").split())
        else:
            quota, period = (int((_CGROUP / name).read_text(encoding="ascii")) for name in _CGROUP_CPU[1:])
        if quota > 0:
            cores = min(cores, max(1, quota // period))
    return cores


def usable_memory() -> int:
    """The container's limit, or the machine's memory, in bytes."""
    return min(int(psutil.virtual_memory().total), _cgroup_number(_CGROUP_LIMITS) or sys.maxsize)


def peak_memory() -> int | None:
    """The most that this container has used, page cache included, in bytes; None without a container."""
    return _cgroup_number(_CGROUP_PEAKS)


def _cgroup_number(names: Iterable[str]) -> int | None:
    """The first of these files of our control group that holds a number; ``max`` and no file are none."""
    for path in (_CGROUP / name for name in names):
        if path.exists() and (text := path.read_text(encoding="ascii").strip()).isdigit():
            return int(text)
    return None


def _torch_build(packages: Mapping[str, str]) -> str:
    """What the installed torch says: ``cpu`` for PyTorch's CPU wheels, else PyPI's build."""
    return "cpu" if packages.get("torch", "").endswith("+cpu") else "pypi"


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def oom_kills() -> int:
    """How often the kernel has killed for memory in our control group (cgroup v2, then v1); 0 where unknown."""
    for name, key in (("memory.events", "oom_kill"), ("memory/memory.oom_control", "oom_kill")):
        with contextlib.suppress(OSError, ValueError):
            lines = (Path("/sys/fs/cgroup") / name).read_text(encoding="ascii").splitlines()
            return sum(int(line.split()[1]) for line in lines if line.split()[0] == key)
    return 0
