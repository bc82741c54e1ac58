"""What a machine and its control group give: cores and memory."""

from pathlib import Path

import pytest

from harness import environment

CORES = 8


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of a control group on a machine with eight cores."""
    monkeypatch.setattr(environment, "_CGROUP", tmp_path)
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: set(range(CORES)))
    return tmp_path


def write(group: Path, **files: str) -> None:
    for name, text in files.items():
        path = group / name.replace("__", "/").replace("cpu_max", "cpu.max").replace("cfs", "cpu.cfs")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize(
    ("text", "cores"), [("max 100000\n", 8), ("250000 100000\n", 2), ("50000 100000\n", 1), ("9900000 100000\n", 8)]
)
def test_a_quota_leaves_fewer_cores_than_there_are_but_never_none(group: Path, text: str, cores: int) -> None:
    write(group, cpu_max=text)
    assert environment.usable_cores() == cores


@pytest.mark.parametrize(("quota", "cores"), [("-1", 8), ("300000", 3)])
def test_the_older_control_groups_say_it_in_two_files(group: Path, quota: str, cores: int) -> None:
    write(group, cpu__cfs_quota_us=quota, cpu__cfs_period_us="100000")
    assert environment.usable_cores() == cores


def test_without_control_groups_all_cores_that_the_process_may_run_on_are_usable(group: Path) -> None:
    assert environment.usable_cores() == CORES
