"""No engine: a stack's environment on this machine, installed by uv from the same pins as the images."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness import ROOT
from harness.engine.images import Build, download_bytes, torch_pins
from harness.engine.runtime import Ended, Job, Runtime, variables
from harness.engine.signals import end_with_parent
from harness.engine.torch_build import choose_torch_build
from harness.errors import EnvironmentBrokenError
from harness.installed import path_with_own
from harness.matrix import TorchBuild
from harness.records import EngineName
from harness.terminal import say, size

STACKS: Final = ROOT / ".nox" / "stacks"
# Written last, so that an installation that was cut off is not taken for a whole one.
COMPLETE: Final = "complete"
_END_SECONDS: Final = 8


class LocalEngine:
    """Child processes of this session. No wall around them: no limit but what the harness itself watches."""

    name: EngineName = "local"

    def __init__(self, folder: Path = STACKS) -> None:
        self._folder = folder

    def prepare(self, build: Build) -> "Environment":
        """The environment of the build, installed if it is not there."""
        torch = choose_torch_build(
            build.torch, build.torch_index, lambda one: (self._place(build, one) / COMPLETE).is_file()
        )
        place = self._place(build, torch)
        with _alone(self._folder):
            if not (place / COMPLETE).is_file():
                shutil.rmtree(place, ignore_errors=True)
                call_uv(build, "venv", "--python", sys.executable, str(place))
                install(build, torch, place)
                (place / COMPLETE).touch()
        return Environment(python=place / "bin" / "python", stack=build.stack, torch=torch)

    def prune(self, needed: Sequence[Runtime]) -> list[str]:
        """Delete the environments that are not needed."""
        keep = {runtime.label for runtime in needed}
        others = [path for path in self._folder.iterdir() if path.is_dir() and str(path) not in keep]
        for path in others:
            shutil.rmtree(path)
        return [str(path) for path in others]

    def _place(self, build: Build, torch: TorchBuild) -> Path:
        return self._folder / f"{build.stack}-{torch}-{_digest(build, torch)}"


def install_into(build: Build, place: Path) -> None:
    """Install the build into an environment of the caller's, unless it has this very build already."""
    marker = place / COMPLETE

    def is_built(torch: TorchBuild) -> bool:
        return marker.is_file() and marker.read_text() == _digest(build, torch)

    torch = choose_torch_build(build.torch, build.torch_index, is_built)
    if not is_built(torch):
        marker.unlink(missing_ok=True)
        install(build, torch, place)
        marker.write_text(_digest(build, torch))


def _digest(build: Build, torch: TorchBuild) -> str:
    """Of all that goes into an environment."""
    told = hashlib.sha256(sys.version.encode())
    for path in (*torch_pins(torch), build.pins):
        told.update(path.read_bytes())
    told.update(f"{build.index} {build.torch_index if torch == 'cpu' else ''}".encode())
    return told.hexdigest()[:12]


def install(build: Build, torch: TorchBuild, place: Path) -> None:
    """Install torch and the stack into an environment that is there."""
    files = [*torch_pins(torch), build.pins]
    expected = download_bytes(files)
    amount = f"about {size(expected)}" if expected else "an amount that is not known beforehand"
    say(f"installing stack {build.stack!r} into {place}; {amount} to download, less what uv has in its cache")
    into = ("--python", str(place / "bin" / "python"), "--no-deps", "--compile-bytecode")
    if torch == "cpu":
        family = files.pop(0)
        call_uv(build, "pip", "install", *into, "--default-index", build.torch_index, "--requirement", str(family))
    words = [word for path in files for word in ("--requirement", str(path))]
    call_uv(build, "pip", "install", *into, "--default-index", build.index, *words)


def call_uv(build: Build, *words: str) -> None:
    """Run uv, with its progress shown."""
    import uv

    settings = dict(os.environ)
    if build.ca_bundle is not None:
        settings["SSL_CERT_FILE"] = str(build.ca_bundle)
    done = subprocess.run([uv.find_uv_bin(), *words], env=settings, check=False)
    if done.returncode:
        raise EnvironmentBrokenError(f"uv {' '.join(words[:2])} failed (its words are above)")


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other session installs here."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True, kw_only=True)
class Environment:
    """A Python with a stack installed, to run shards with."""

    python: Path
    stack: str
    torch: TorchBuild | None
    """None: nobody installed it for us, and what it is is for the run to say."""

    @property
    def label(self) -> str:
        return str(self.python.parent.parent if self.torch else self.python)

    def run(self, job: Job) -> Ended:
        words = [
            "run",
            "--plan",
            str(job.folder / "plan.json"),
            "--shard",
            job.shard,
            "--out",
            str(job.folder),
        ]
        # A home of its own: nothing in the user's (caches, tokens, settings) changes what is measured.
        with tempfile.TemporaryDirectory(prefix="model-matrix-") as scratch:
            settings = {
                **os.environ,
                **variables(self.stack, self.torch),
                "HARNESS_ENGINE": "local",
                "PYTHONPATH": str(ROOT),
                "HOME": scratch,
                "TMPDIR": scratch,
                **job.variables,
            }
            settings.pop("HARNESS_IMAGE", None)
            if self.torch is None:  # what the user installed with pip --user lies in the home that is not shown
                settings["PYTHONPATH"] = path_with_own()
                settings.setdefault("PYTHONUSERBASE", str(Path("~/.local").expanduser()))
            if job.gpus and (visible := job.gpus.visible):
                settings["CUDA_VISIBLE_DEVICES"] = visible
            if job.weights is not None:
                words += ["--weights", str(job.weights.resolve())]
            if job.download is not None:
                settings |= job.download.settings
                if job.download.ca_bundle is not None:
                    settings["SSL_CERT_FILE"] = str(job.download.ca_bundle)
            child = subprocess.Popen(
                [self.python, "-m", "harness", *words, *job.words],
                env=settings,
                cwd=scratch,
                text=True,
                errors="replace",
                stdout=subprocess.PIPE if job.show else None,
                stderr=subprocess.STDOUT if job.show else None,
                # There is no container to sweep: where this process is killed, its child must end by itself.
                preexec_fn=end_with_parent,  # noqa: PLW1509 -- one system call, and no threads run here
            )
            try:
                for line in child.stdout or ():
                    if job.show is not None:
                        job.show(line)
                code = child.wait()
            finally:
                _end(child)
        # A signal's number is negative to Python, and over 128 to everybody else.
        return Ended(code=code if code >= 0 else 128 - code)


def _end(child: "subprocess.Popen[str]") -> None:
    """See the child dead: it has had the terminal's Ctrl-C already, or gets a polite kill now."""
    if child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
