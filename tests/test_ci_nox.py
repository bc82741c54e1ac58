"""ci/nox on machines without a Python that can be used; the whole way is in tests/real."""

import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from harness import ROOT

TOOLS = ("sh", "dirname", "cmp", "id", "mkdir", "rm", "mv", "cp")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What ci/nox needs of a checkout, and a PATH with only the tools that it may use."""
    for name in ("ci/nox", "docker/pins/nox.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found
        (tmp_path / "bin" / tool).symlink_to(found)
    return tmp_path


def python(checkout: Path, name: str, version: str, *, too_old: bool = False, bare: bool = False) -> None:
    """A Python that answers ci/nox's questions like this."""
    program(
        checkout / "bin" / name,
        f"""case "$2" in
            *print*) echo {version} ;;
            *version_info*) exit {int(too_old)} ;;
            *ensurepip*) exit {int(bare)} ;;
            *) exit 9 ;;
        esac""",
    )


def program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def run(checkout: Path, *words: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [checkout / "ci" / "nox", *words],
        cwd="/",
        env={"PATH": str(checkout / "bin"), **settings},
        capture_output=True,
        text=True,
        check=False,
    )


def fails_with(checkout: Path, *told: str) -> None:
    done = run(checkout)
    assert done.returncode == 3, done.stderr
    for text in told:
        assert text in done.stderr
    assert not (checkout / ".nox").exists()


def test_no_python_at_all(checkout: Path) -> None:
    program(checkout / "bin" / "apt-get", "exit 9")
    fails_with(checkout, "no Python found", "apt-get install -y python3 python3-venv")


def test_a_python_that_is_too_old_is_named(checkout: Path) -> None:
    program(checkout / "bin" / "apt-get", "exit 9")
    python(checkout, "python3", "3.10", too_old=True)
    fails_with(checkout, "Python 3.10 is too old", "apt-get install -y python3.11 python3.11-venv")


def test_a_python_without_ensurepip_says_the_one_package(checkout: Path) -> None:
    program(checkout / "bin" / "apt-get", "exit 9")
    python(checkout, "python3", "3.11", bare=True)
    fails_with(checkout, "venv or ensurepip", "apt-get install -y python3-venv")


def test_the_mend_is_in_the_machines_own_words(checkout: Path) -> None:
    program(checkout / "bin" / "dnf", "exit 9")
    fails_with(checkout, "dnf install -y python3")


def test_a_machine_with_neither_apt_nor_dnf_is_told_what_is_needed(checkout: Path) -> None:
    fails_with(checkout, "install Python 3.11 or newer with its venv module")


def test_stubs_and_bare_pythons_are_passed_over_for_one_that_works(checkout: Path) -> None:
    program(checkout / "bin" / "python3.14", "echo 'python3.14: command not found' >&2; exit 127")
    python(checkout, "python3.13", "3.13", bare=True)
    (checkout / "bin" / "python3.12").symlink_to(sys.executable)
    # The index is a closed port: it must get as far as asking it, and leave nothing behind.
    done = run(checkout, PIP_INDEX_URL="http://127.0.0.1:1/simple", PIP_RETRIES="0", PIP_NO_CACHE_DIR="1")
    assert done.returncode == 3
    assert "nox could not be installed" in done.stderr
    assert list((checkout / ".nox").iterdir()) == []


def test_an_environment_that_is_there_is_used_with_all_words_handed_over(checkout: Path) -> None:
    home = checkout / ".nox" / "bootstrap"
    (home / "bin").mkdir(parents=True)
    shutil.copy(checkout / "docker/pins/nox.txt", home / "pins.txt")
    program(home / "bin" / "python", '[ "$1" = -c ] && exit 0; printf "<%s>" "$@"; exit 7')
    done = run(checkout, "-s", "cpu", "--", "--family", "a b")
    assert done.stdout == f"<-m><nox><--noxfile><{checkout}/noxfile.py><-s><cpu><--><--family><a b>"
    assert done.returncode == 7


def test_an_environment_with_other_pins_is_not_used(checkout: Path) -> None:
    home = checkout / ".nox" / "bootstrap"
    (home / "bin").mkdir(parents=True)
    (home / "pins.txt").write_text("nox==1\n")
    program(home / "bin" / "python", "echo used")
    done = run(checkout)
    assert done.returncode == 3
    assert "used" not in done.stdout
