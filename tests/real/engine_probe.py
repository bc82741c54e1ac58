"""A small image whose harness is a probe, and a process that runs it: for the walls, not for what runs inside."""

import io
import subprocess
import sys
import tarfile
from pathlib import Path

from docker import DockerClient

from harness import ROOT
from harness.matrix import Limits

MIB = 2**20
LIMITS = Limits.model_construct(
    memory=96 * MIB, child_memory=64 * MIB, tmpfs=32 * MIB, shm=16 * MIB, pids=40, timeout_seconds=10
)

# Runs the shard in the image that is its first word, as launch would, and prints how it ended.
PARENT = """
import sys
from pathlib import Path
sys.path[:0] = [sys.argv[3], sys.argv[3] + "/tests/real"]
from docker import from_env
from engine_probe import LIMITS
from harness.engine import containers
from harness.engine.runtime import Job
from harness.engine.signals import treat_termination_as_interrupt
treat_termination_as_interrupt()
job = Job(shard="cpu/x/1of1", folder=Path(sys.argv[2]), words=(), limits=LIMITS)
print(containers.run(from_env(), sys.argv[1], job))
"""


def probe_image(client: DockerClient, base: str, name: str, program: str) -> str:
    """The id of an image that runs this Python program instead of the harness."""
    files = {
        "Dockerfile": f'FROM {base}\nCOPY probe.py /probe.py\nENTRYPOINT ["python3", "-u", "/probe.py"]\n',
        "probe.py": program,
    }
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        for path, text in files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(text.encode()), 0o644
            archive.addfile(entry, io.BytesIO(text.encode()))
    context.seek(0)
    image, _ = client.images.build(
        fileobj=context, custom_context=True, tag=f"model-matrix/probe:{name}", rm=True, forcerm=True
    )
    return str(image.id)


def start_parent(image: str, folder: Path) -> "subprocess.Popen[str]":
    """The process that launch would be."""
    return subprocess.Popen(
        [sys.executable, "-c", PARENT, image, str(folder), str(ROOT)], stdout=subprocess.PIPE, text=True
    )
