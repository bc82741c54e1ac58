"""Repairs: what they change, what they leave alone, and what of it a cell says."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.cell import repairs
from harness.records import Recipe, Repair

LIBRARY = """
HALF = 2

class Layer:
    pass

class Model(Layer):
    kind = "vit-hybrid"

    def forward(self, x):
        return x / HALF

class Talks:
    def talk(self):
        return "hello"

def double(x):
    return 2 * x
"""


@pytest.fixture(autouse=True)
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A library that is wrong in some places, and a child that has not repaired anything yet."""
    (tmp_path / "wrong_library.py").write_text(LIBRARY)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(repairs, "_CHANGED", {})
    yield
    sys.modules.pop("wrong_library", None)


def recipe(**one: object) -> Recipe:
    return Recipe(reason="of this test", repairs={"one": Repair.model_validate({"reason": "wrong", **one})})


def test_an_attribute_is_set_and_told() -> None:
    from wrong_library import Model  # type: ignore[import-not-found]

    of = recipe(attributes={"wrong_library:Model.kind": "vit_hybrid"})
    assert repairs.mend(of, "from_pretrained") == ["one"]
    assert Model.kind == "vit_hybrid"
    assert repairs.mend(of, "pipeline") == ["one"]  # the same child's second cell runs with it too


def test_a_class_inherits_what_it_has_lost() -> None:
    from wrong_library import Model

    of = recipe(inherits={"wrong_library:Model": "wrong_library:Talks"})
    assert repairs.mend(of, "from_pretrained") == ["one"]
    assert Model().talk() == "hello"
    repairs._CHANGED.clear()
    assert repairs.mend(of, "from_pretrained") == []
    assert repairs.mend(recipe(inherits={"wrong_library:None_such": "wrong_library:Talks"}), "pipeline") == []


def test_a_function_that_has_what_others_lost_is_left_alone() -> None:
    changed = {"function": "wrong_library:Model.forward", "replace": "return", "by": "return 3 *"}
    assert repairs.mend(recipe(**changed, unless="HALF"), "pipeline") == []
    repairs._CHANGED.clear()
    assert repairs.mend(recipe(**changed, unless="DOUBLE"), "pipeline") == ["one"]


def test_what_is_right_already_counts_as_shipped() -> None:
    assert repairs.mend(recipe(attributes={"wrong_library:Model.kind": "vit-hybrid"}), "pipeline") == []
    assert repairs.mend(recipe(attributes={"no_such_library:Model.kind": "vit"}), "pipeline") == []


def test_a_method_is_mended_in_its_source_and_still_sees_its_module() -> None:
    from wrong_library import Model

    of = recipe(function="wrong_library:Model.forward", replace="x / HALF", by="x * HALF")
    assert repairs.mend(of, "pipeline") == ["one"]
    assert Model().forward(3) == 6


def test_a_function_is_mended_and_one_without_the_text_is_left_alone() -> None:
    import wrong_library

    assert repairs.mend(recipe(function="wrong_library:double", replace="3 *", by="2 *"), "pipeline") == []
    repairs._CHANGED.clear()
    assert repairs.mend(recipe(function="wrong_library:double", replace="2 *", by="3 *"), "pipeline") == ["one"]
    assert wrong_library.double(2) == 6


def test_a_repair_of_one_api_leaves_the_other_as_shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OF_THIS_TEST", "no")
    of = recipe(api="pipeline", environment={"OF_THIS_TEST": "yes"})
    assert repairs.mend(of, "from_pretrained") == []
    assert os.environ["OF_THIS_TEST"] == "no"
    assert repairs.mend(of, "pipeline") == ["one"]
    assert os.environ["OF_THIS_TEST"] == "yes"


@pytest.mark.parametrize("one", [{}, {"function": "wrong_library:double", "by": "2"}])
def test_a_repair_that_would_change_nothing_is_a_mistake(one: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"nothing|replace"):
        recipe(**one)
