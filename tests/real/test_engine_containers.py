"""What the wall around a shard truly is, seen from inside, and what is left of it afterwards."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker import DockerClient, from_env
from engine_probe import LIMITS, MIB, probe_image, start_parent

from harness.engine import containers
from harness.engine.building import ensure_base
from harness.engine.docker import DockerEngine
from harness.engine.runtime import Ended, Job
from harness.errors import EnvironmentBrokenError
from harness.gpus import Gpus
from harness.matrix import load_matrix, with_overrides

pytestmark = pytest.mark.engine

FACTS = """
import json, os, pathlib, socket, sys
def tried(action):
    try:
        action()
    except OSError as error:
        return type(error).__name__ + ": " + str(error.strerror)
    return "worked"
def cgroup(*names):
    for name in names:
        path = pathlib.Path("/sys/fs/cgroup", name)
        if path.exists():
            return path.read_text().strip()
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
facts = {
    "words": sys.argv[1:],
    "image": os.environ["HARNESS_IMAGE"],
    "uid": os.getuid(),
    "capabilities": [status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")],
    "no new privileges": status["NoNewPrivs"],
    "first process": open("/proc/1/cmdline").read().split("\\0")[0],
    "interfaces": os.listdir("/sys/class/net"),
    "connect": tried(lambda: socket.create_connection(("1.1.1.1", 53), 2)),
    "write root": tried(lambda: open("/x", "w")),
    "write harness": tried(lambda: open("/opt/x", "w")),
    "write home": tried(lambda: open("/root/x", "w")),
    "write scratch": tried(lambda: open("/tmp/x", "w")),
    "become root": tried(lambda: os.setuid(0)),
    "memory": cgroup("memory.max", "memory/memory.limit_in_bytes"),
    "swap": cgroup("memory.swap.max", "memory/memory.memsw.limit_in_bytes"),
    "pids": cgroup("pids.max", "pids/pids.max"),
    "scratch": os.statvfs("/tmp").f_blocks * os.statvfs("/tmp").f_frsize,
    "shm": os.statvfs("/dev/shm").f_blocks * os.statvfs("/dev/shm").f_frsize,
}
json.dump(facts, open("/results/facts.json", "w"))
"""
WAIT = "import time; print('here', flush=True); time.sleep(600)"


@pytest.fixture(scope="module")
def client() -> Iterator[DockerClient]:
    client = from_env(timeout=120)
    yield client
    for image in client.images.list("model-matrix/probe"):
        client.images.remove(str(image.id), force=True)


@pytest.fixture(scope="module")
def base(client: DockerClient) -> str:
    return ensure_base(client, with_overrides(load_matrix(), os.environ).backends["cpu"].base_image)


@pytest.fixture
def ours(client: DockerClient) -> Iterator[set[str]]:
    """Our containers that were there before; whatever the test leaves besides is deleted, after it failed."""
    before = _ours(client)
    yield before
    for name in _ours(client) - before:
        client.containers.get(name).remove(force=True)


def _ours(client: DockerClient) -> set[str]:
    listed = client.containers.list(all=True, filters={"label": "model-matrix.pid"})
    return {str(container.id) for container in listed}


def run(client: DockerClient, image: str, folder: Path) -> Ended:
    return containers.run(client, image, Job(shard="cpu/x/1of1", folder=folder, words=("-v",), limits=LIMITS))


def test_an_engine_without_the_toolkit_gives_no_gpu_and_the_shard_is_told_why(
    client: DockerClient, base: str, ours: set[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if any("nvidia" in name for name in client.info().get("Runtimes", {})):
        pytest.skip("this engine has the NVIDIA container toolkit: it refuses nothing")
    image = probe_image(
        client, base, "gpus", "import os; open('/results/why', 'w').write(os.environ['HARNESS_NO_DEVICE'])"
    )
    job = Job(shard="cuda/x/1of1", folder=tmp_path, words=(), limits=LIMITS, gpus=Gpus())
    assert containers.run(client, image, job) == Ended(code=0)
    why = (tmp_path / "why").read_text()
    assert "the NVIDIA container toolkit is missing" in why
    assert "could not select device driver" in why  # the engine's own words
    assert why in capsys.readouterr().err
    assert _ours(client) == ours


def test_the_wall_seen_from_inside(client: DockerClient, base: str, ours: set[str], tmp_path: Path) -> None:
    image = probe_image(client, base, "facts", FACTS)
    assert run(client, image, tmp_path) == Ended(code=0)
    facts = json.loads((tmp_path / "facts.json").read_text())
    assert facts["words"] == [
        "run", "--plan", "/results/plan.json", "--shard", "cpu/x/1of1", "--out", "/results", "-v",
    ]  # fmt: skip
    assert facts["image"] == image
    assert facts["uid"] != 0
    assert facts["capabilities"] == ["0000000000000000"] * 5
    assert facts["no new privileges"] == "1"
    assert "init" in facts["first process"]
    assert facts["interfaces"] == ["lo"]
    assert facts["connect"] != "worked"
    assert facts["write root"] == facts["write harness"] == "OSError: Read-only file system"
    assert facts["write home"] != "worked"
    assert facts["write scratch"] == "worked"
    assert facts["become root"] == "PermissionError: Operation not permitted"
    assert int(facts["memory"]) == LIMITS.memory
    assert facts["swap"] in (None, "0", str(LIMITS.memory))
    assert int(facts["pids"]) == LIMITS.pids
    assert facts["scratch"] == LIMITS.tmpfs
    assert facts["shm"] == LIMITS.shm


def test_results_belong_to_whoever_started_the_run(client: DockerClient, base: str, tmp_path: Path) -> None:
    run(client, probe_image(client, base, "facts", FACTS), tmp_path)
    owner = (tmp_path / "facts.json").stat()
    assert (owner.st_uid, tmp_path.stat().st_uid) == (os.getuid(), os.getuid())


def test_output_is_shown_from_its_first_line_and_kept_apart(
    client: DockerClient, base: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    program = "import sys; print('first'); print('oops', file=sys.stderr); print('x' * 200_000)"
    run(client, probe_image(client, base, "output", program), tmp_path)
    shown = capfd.readouterr()
    assert shown.out.startswith("first\nxxx")
    assert len(shown.out) > 200_000
    assert "oops" in shown.err


@pytest.mark.parametrize("code", [0, 1, 3, 130])
def test_exit_codes_are_passed_on_and_nothing_is_left(
    client: DockerClient, base: str, ours: set[str], tmp_path: Path, code: int
) -> None:
    image = probe_image(client, base, f"exit-{code}", f"raise SystemExit({code})")
    assert run(client, image, tmp_path) == Ended(code=code)
    assert _ours(client) == ours


def test_a_segmentation_fault_of_the_harness_itself_is_seen(client: DockerClient, base: str, tmp_path: Path) -> None:
    program = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    assert run(client, probe_image(client, base, "segv", program), tmp_path).code == 139


def test_running_out_of_memory_is_told_as_such(client: DockerClient, base: str, ours: set[str], tmp_path: Path) -> None:
    image = probe_image(client, base, "memory", f"kept = bytearray({4 * LIMITS.memory}); print(sum(kept))")
    assert run(client, image, tmp_path) == Ended(code=137, out_of_memory=True)
    assert _ours(client) == ours


def test_scratch_counts_toward_memory_and_is_bounded(client: DockerClient, base: str, tmp_path: Path) -> None:
    program = f"open('/tmp/big', 'wb').write(bytes({2 * LIMITS.tmpfs}))"
    assert run(client, probe_image(client, base, "scratch", program), tmp_path) == Ended(code=1)


def test_an_image_without_the_harness_is_seen_by_its_exit_code(
    client: DockerClient, ours: set[str], tmp_path: Path, base: str
) -> None:
    assert run(client, base, tmp_path).code == 127  # no entrypoint: 'run' is no program there
    assert _ours(client) == ours


def test_a_container_that_cannot_start_is_told_and_not_left(
    client: DockerClient, ours: set[str], tmp_path: Path, base: str
) -> None:
    limits = LIMITS.model_copy(update={"tmpfs": -1})
    with pytest.raises(EnvironmentBrokenError, match="cpu/x/1of1"):
        containers.run(client, base, Job(shard="cpu/x/1of1", folder=tmp_path, words=(), limits=limits))
    assert _ours(client) == ours
    assert tmp_path.stat().st_uid == os.getuid()


def test_an_image_that_is_gone_is_told(client: DockerClient, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentBrokenError, match="cannot be made"):
        run(client, f"sha256:{'0' * 64}", tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_after_an_interrupt(
    client: DockerClient, base: str, ours: set[str], tmp_path: Path, number: int
) -> None:
    parent = _running(client, base, tmp_path)
    assert len(_ours(client) - ours) == 1
    started = time.monotonic()
    parent.send_signal(number)
    assert parent.wait(15) != 0
    assert time.monotonic() - started < 10
    assert _ours(client) == ours
    assert tmp_path.stat().st_uid == os.getuid()


def test_two_interrupts_do_not_cut_off_the_clean_up(
    client: DockerClient, base: str, ours: set[str], tmp_path: Path
) -> None:
    parent = _running(client, base, tmp_path)
    for _ in range(5):
        parent.send_signal(signal.SIGINT)
        time.sleep(0.1)
    assert parent.wait(15) != 0
    assert _ours(client) == ours


def test_what_a_killed_parent_leaves_is_swept_at_the_next_start(
    client: DockerClient, base: str, ours: set[str], tmp_path: Path
) -> None:
    alive = _running(client, base, tmp_path / "alive")
    mine = _ours(client) - ours
    killed = _running(client, base, tmp_path / "killed")
    killed.kill()
    killed.wait()
    assert len(_ours(client) - ours) == 2
    DockerEngine.connect()
    assert _ours(client) - ours == mine  # and not that of a parent that lives
    alive.terminate()
    alive.wait(15)
    assert _ours(client) == ours


def _running(client: DockerClient, base: str, folder: Path) -> "subprocess.Popen[str]":
    """A parent whose container says that it is running."""
    folder.mkdir(exist_ok=True)
    parent = start_parent(probe_image(client, base, "wait", WAIT), folder)
    assert parent.stdout is not None
    assert parent.stdout.readline() == "here\n"
    return parent


def test_a_child_that_is_killed_for_memory_leaves_the_rest_running(
    client: DockerClient, base: str, tmp_path: Path
) -> None:
    program = f"""
import os
child = os.fork()
if child == 0:
    open("/proc/self/oom_score_adj", "w").write("1000")
    kept = bytearray({LIMITS.memory + 64 * MIB})
    os._exit(0)
_, status = os.waitpid(child, 0)
raise SystemExit(0 if os.waitstatus_to_exitcode(status) == -9 else 1)
"""
    ended = run(client, probe_image(client, base, "child-memory", program), tmp_path)
    assert ended == Ended(code=0, out_of_memory=True)
