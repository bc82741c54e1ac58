"""The stack of what somebody's Python has: asked of it, planned on it, and told where it lacks something."""

import json
import stat
from pathlib import Path

import pytest

from harness import __main__
from harness.catalog import Catalog
from harness.configuration import load_configuration
from harness.errors import EnvironmentBrokenError, UsageError
from harness.installed import INSTALLED, found_in, python_of_the_user, with_installed
from harness.plan import make_plan
from harness.selection import Selection

REGISTRY = {"transformers": "4.0.1", "types": {"bert": None, "gpt2": None, "brandnew": "audio"}}


def python(tmp_path: Path, *, lacks: str = "", says: str | None = None, code: int = 0) -> Path:
    """A Python that lacks these packages, and says this of its model types, after some chatter."""
    (tmp_path / "says").write_text("a library's chatter\n" + (json.dumps(REGISTRY) if says is None else says))
    path = tmp_path / "python3"
    path.write_text(
        f'#!/bin/sh\nif [ "$1" = -c ]; then echo "{lacks}"; exit 0; fi\n'
        f'cat > "{tmp_path}/known"; cat "{tmp_path}/says"; echo "broken pipe dream" >&2; exit {code}\n'
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_configuration().catalog


def test_types_that_we_know_keep_our_domain_and_others_get_what_their_code_suggests(tmp_path: Path) -> None:
    configuration = with_installed(load_configuration(), python(tmp_path))
    assert configuration.catalog.domains["bert"] == "text"
    assert configuration.catalog.domains["brandnew"] == "audio"
    assert configuration.catalog.stacks[INSTALLED] == {"bert", "gpt2", "brandnew"}
    assert "brandnew" in configuration.catalog.lists["all"]
    assert "bert" in json.loads((tmp_path / "known").read_text())


def test_everything_is_planned_on_it_as_a_stack_of_that_name(tmp_path: Path) -> None:
    configuration = with_installed(load_configuration(), python(tmp_path))
    selection = Selection(types=("bert", "brandnew"), stack=INSTALLED)
    plan = make_plan(configuration.matrix, configuration.catalog, selection, backends=("cuda",))
    assert plan.planned_shards == {"cuda/installed/1of1": ("bert", "brandnew")}


def test_what_a_python_lacks_is_told_with_its_name_and_all_at_once(tmp_path: Path, catalog: Catalog) -> None:
    with pytest.raises(EnvironmentBrokenError, match="lacks torch, psutil") as caught:
        found_in(python(tmp_path, lacks="torch,psutil"), catalog.domains)
    assert "--python" in caught.value.hint


def test_a_python_that_fails_or_says_nothing_is_told_with_its_words(tmp_path: Path, catalog: Catalog) -> None:
    with pytest.raises(EnvironmentBrokenError, match="broken pipe dream"):
        found_in(python(tmp_path, code=1), catalog.domains)
    with pytest.raises(EnvironmentBrokenError, match="does not say"):
        found_in(python(tmp_path, says="nothing of use"), catalog.domains)
    with pytest.raises(EnvironmentBrokenError, match="cannot be asked"):
        found_in(tmp_path / "absent", catalog.domains)


def test_the_python_of_the_user_is_the_first_on_the_path_that_is_not_the_sessions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = python(tmp_path)
    session = tmp_path / "session" / "bin"
    session.mkdir(parents=True)
    (session / "python3").symlink_to(theirs)
    monkeypatch.setattr("sys.prefix", str(session.parent))
    monkeypatch.setenv("PATH", f"{session}:{tmp_path}")
    assert python_of_the_user(None) == theirs
    assert python_of_the_user(str(theirs)) == theirs
    monkeypatch.setenv("PATH", str(session))
    with pytest.raises(UsageError, match="no Python"):
        python_of_the_user(None)
    with pytest.raises(UsageError, match="no such program"):
        python_of_the_user("/no/such/python")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("launch", "cpu", "--python", "python3"), "--python goes with --stack installed"),
        (("launch", "cpu", "--stack", "installed", "--engine", "docker"), "has no part in it"),
        (("run", "--backend", "cpu", "--stack", "current"), "run --backend takes the packages that are here"),
        (("run",), "what to run?"),
        (("run", "--plan", "plan.json", "--types", "bert"), "--plan says already what to run"),
        (("run", "--plan", "plan.json", "--shard", "cpu/current/1of1"), "--plan needs --shard and --out"),
    ],
)
def test_words_that_do_not_go_together_start_nothing(
    words: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert __main__.main(list(words)) == 2
    assert told in capsys.readouterr().err
