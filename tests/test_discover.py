"""Another release's types held against a stack's, what came of those that were tried, and stacks of own pins."""

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import miniatures
from harness import own_pins
from harness.catalog import Catalog
from harness.configuration import load_configuration
from harness.discover import compared, told, tried
from harness.engine.images import PINS, Build
from harness.errors import EnvironmentBrokenError, UsageError
from harness.installed import Registry, with_stack
from harness.lock import Lock
from harness.matrix import Stack
from harness.own_pins import OwnPins, is_requirements, nearest, of_file, of_release
from harness.plan import make_plan
from harness.selection import Selection

CONFIGURATION = load_configuration()
MATRIX, CATALOG = CONFIGURATION.matrix, CONFIGURATION.catalog
INDEX = "https://index.example/simple"


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A compiler that takes every line for a pin, follows -r, and knows one conflict; what it was given is listed."""
    given: list[str] = []

    def compile_pins(folder: Path, lock: Lock, *, index: str) -> None:
        assert index == INDEX
        assert (folder / "torch.txt").read_bytes() == (PINS / "torch.txt").read_bytes()
        assert lock.on_top_of == "torch"
        given.append(text := (folder / f"{lock.name}.in").read_text())
        if text.startswith("-r "):
            text = Path(text.splitlines()[0].removeprefix("-r ")).read_text()
        if "torch==1" in text:
            raise EnvironmentBrokenError("no solution: torch==1 and torch==2")
        pins = [f"{line} ; python_version < '4' \\" for line in text.splitlines() if "==" in line]
        (folder / f"{lock.name}.txt").write_text("\n".join(pins))

    folder = own_pins.FOLDER.with_name("pins-of-a-test")
    monkeypatch.setattr(own_pins, "compile_pins", compile_pins)
    monkeypatch.setattr(own_pins, "FOLDER", folder)
    yield given
    shutil.rmtree(folder, ignore_errors=True)


def test_types_are_new_gone_or_changed_and_what_has_changed_is_said() -> None:
    ours = {
        "bert": "config=2 BertConfig BertForNothing",
        "gpt2": "config=1 GPT2Model",
        "jukebox": "config=1",
        "new": "x",
    }
    theirs = {"bert": "config=1 BertConfig BertModel", "gpt2": "config=1 GPT2Model", "van": "config=1 VanModel"}
    catalog: Catalog = dataclasses.replace(
        CATALOG,
        stacks={**CATALOG.stacks, "here": frozenset(ours), "there": frozenset(theirs)},
        features={"here": ours, "there": theirs},
    )
    different = compared(catalog, "here", "there")
    assert different.new == ("jukebox", "new")
    assert different.gone == ("van",)
    assert different.changed == {"bert": "+BertForNothing -BertModel other config fields"}
    own = OwnPins("here", PINS / "v4.txt", "my.txt", "my.txt")
    assert told(different, own, "5.23.0", CATALOG) == [
        "my.txt (transformers 4.57.6) held against transformers 5.23.0",
        "new: 2",
        "  jukebox (in the stack v4)",
        "  new",
        "gone: 1",
        "  van",
        "changed: 1",
        "  bert: +BertForNothing -BertModel other config fields",
    ]


def test_what_did_not_pass_is_listed_with_its_error() -> None:
    cells = [
        miniatures.cell("tomorrow", outcome="failed", reason="no such head\nand more"),
        miniatures.cell("today", api="pipeline"),
    ]
    assert tried(cells) == [
        "passed: 1 cells",
        "  today pipeline (fill-mask)",
        "not passed: 1 cells",
        "  tomorrow from_pretrained: failed: no such head",
    ]


@pytest.mark.parametrize(
    ("version", "stack"),
    [("5.10.2", "current"), ("5.99.0", "current"), ("4.56.0", "v4"), ("4.48.0", "v4-48"), ("4.40.1", "v4-48")],
)
def test_a_release_gets_the_packages_of_the_stack_that_is_nearest(version: str, stack: str) -> None:
    assert nearest(version, MATRIX) == stack


def test_the_release_stands_in_place_of_the_stacks_own_and_is_compiled_once(compiler: list[str]) -> None:
    own = of_release("4.56.1", MATRIX, INDEX)
    assert (own.name, own.transformers) == ("transformers-4-56-1", "4.56.1")
    source = (PINS / "v4.in").read_text()
    assert source.replace("transformers==4.57.6", "transformers==4.56.1") in compiler[0]
    assert "junit-xml" in compiler[0]  # what the harness itself imports
    assert of_release("4.56.1", MATRIX, INDEX) == own
    assert len(compiler) == 1
    assert is_requirements(own.stack)  # --stack takes it, to run a cell of it again


def test_a_word_that_is_no_release_is_told() -> None:
    with pytest.raises(UsageError, match=r"--transformers main: not a release, as 5\.23\.0"):
        of_release("main", MATRIX, INDEX)


def test_a_requirements_file_is_a_stack_by_its_name_until_it_changes(compiler: list[str], tmp_path: Path) -> None:
    path = tmp_path / "My Pins.txt"
    path.write_text("transformers==4.51.3\n")
    own = of_file(str(path), INDEX)
    assert (own.name, own.transformers, own.stack) == ("own-my-pins", "4.51.3", str(path))
    path.write_text("transformers==4.52.0\n")
    assert of_file(str(path), INDEX).transformers == "4.52.0"
    assert compiler[0].startswith(f"-r {path}\n")


def test_mistakes_in_own_pins_are_told(compiler: list[str], tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    with pytest.raises(UsageError, match="no such file"):
        of_file(str(path), INDEX)
    path.write_text("accelerate==1.0\n")
    with pytest.raises(UsageError, match="there is no transformers in it"):
        of_file(str(path), INDEX)
    path.write_text("transformers==4.51.3\ntorch==1\n")
    with pytest.raises(UsageError, match="no solution") as caught:
        of_file(str(path), INDEX)
    assert "docker/pins/torch.txt" in caught.value.hint
    assert len(compiler) == 2


def test_a_stacks_name_is_no_requirements_file() -> None:
    assert [is_requirements(word) for word in ("current", "v4-48", "installed", None)] == [False] * 4


def test_own_pins_are_planned_and_built_as_any_stack(tmp_path: Path) -> None:
    pins = tmp_path / "own-x.txt"
    stack = Stack(title="x.txt: transformers 4.51.3", transformers="4.51.3", pins=str(pins))
    registry = Registry("4.51.3", {"bert": None, "of-tomorrow": "audio"}, {"bert": "config=1"})
    found = with_stack(CONFIGURATION, "own-x", stack, registry)
    plan = make_plan(found.matrix, found.catalog, Selection(list="all", stack="own-x"), backends=("cpu",))
    (shard,) = plan.shards
    assert set(shard.registry) == {"bert", "of-tomorrow"}
    assert "of-tomorrow" in shard.model_types
    assert Build.of(found.matrix, "cpu", "own-x", None).pins == pins
