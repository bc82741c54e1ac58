"""data/expectations/: rows are found by cell, mistakes are told, and suggested rows can be pasted."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.configuration import load_configuration
from harness.errors import UsageError
from harness.expectations import Expectation, Expectations, load_expectations, suggested_row
from harness.records import Cell

KEY = ("bert", "cpu", "current", "pipeline")


def row(**values: str | None) -> Expectation:
    whole = {"model_type": "bert", "backend": "cpu", "api": "pipeline", "outcome": "failed", "reason": "r"}
    return Expectation.model_validate(whole | values)


def cell(reason: str = "", outcome: str = "failed") -> Cell:
    return Cell.model_validate(
        {
            "model_type": "bert",
            "domain": "text",
            "backend": "cpu",
            "stack": "current",
            "api": "pipeline",
            "outcome": outcome,
            "stage": "load",
            "reason": reason,
            "reproduce": "-",
            "seconds": 1.0,
        }
    )


def written(tmp_path: Path, text: str) -> Path:
    """The folder of the one file."""
    (tmp_path / "cpu.toml").write_text(text, encoding="utf-8")
    return tmp_path


def mistakes(path: Path) -> tuple[str, ...]:
    configuration = load_configuration()
    with pytest.raises(UsageError) as caught:
        load_expectations(path, matrix=configuration.matrix, catalog=configuration.catalog)
    file = f"{path / 'cpu.toml'}: "
    assert all(one.startswith(file) for one in caught.value.mistakes)
    return tuple(one.removeprefix(file) for one in caught.value.mistakes)


ROW = '[[cell]]\nmodel_type = "bert"\nbackend = "cpu"\napi = "pipeline"\noutcome = "failed"\nreason = "r"\n'


def test_the_repositorys_own_expectations_load() -> None:
    assert load_configuration().expectations.rows == load_expectations().rows


def test_what_nobody_can_run_needs_no_row() -> None:
    configuration = load_configuration()
    for name, why in configuration.catalog.unavailable.items():
        row = configuration.expectations.expected((name, "cpu", "current", "pipeline"))
        assert row is not None
        assert (row.outcome, row.reason) == ("not-applicable", why.reason)


def test_a_file_without_rows_expects_nothing(tmp_path: Path) -> None:
    expectations = load_expectations(written(tmp_path, "# nothing\n"))
    assert expectations.expected(KEY) is None


def test_a_row_without_stack_is_about_every_stack_and_nothing_else(tmp_path: Path) -> None:
    expectations = load_expectations(written(tmp_path, ROW))
    assert expectations.expected(KEY) == row()
    assert expectations.expected(("bert", "cpu", "other", "pipeline")) == row()
    assert expectations.expected(("gpt2", "cpu", "current", "pipeline")) is None
    assert expectations.expected(("bert", "cuda", "current", "pipeline")) is None
    assert expectations.expected(("bert", "cpu", "current", "from_pretrained")) is None


def test_a_row_for_this_stack_goes_before_one_for_every_stack() -> None:
    exact = row(stack="current", outcome="timeout")
    for rows in [(row(), exact), (exact, row())]:
        assert Expectations(rows).expected(KEY) == exact
        assert Expectations(rows).expected(("bert", "cpu", "other", "pipeline")) == row()


def test_a_row_for_another_stack_is_not_about_this_one() -> None:
    assert Expectations((row(stack="other"),)).expected(KEY) is None


def test_wrong_keys_values_and_names_are_told_at_once(tmp_path: Path) -> None:
    text = (
        '[[cell]]\nmodel_type = "brt"\nbackend = "cpuu"\nstack = "curent"\napi = "pipelin"\n'
        'outcome = "passed"\nresaon = "r"\nreason = ""\n'
    )
    apis = "'from_pretrained' or 'pipeline'"
    told = mistakes(written(tmp_path, text))
    assert told[0] == f"cell.0.api: Input should be {apis}, not 'pipelin'"
    assert told[1].startswith("cell.0.outcome: Input should be 'failed', 'mismatch', ")
    assert told[1].endswith(", not 'passed'")
    assert told[2:] == (
        "cell.0.reason: String should have at least 1 character, not ''",
        "cell.0.resaon: unknown key (did you mean 'reason'?)",
        "cell.0.model_type: no model type 'brt' (did you mean 'bert'?)",
        "cell.0.backend: no backend 'cpuu' (did you mean 'cpu'?)",
        "cell.0.stack: no stack 'curent' (did you mean 'current'?)",
    )


@pytest.mark.parametrize("outcome", ["passed", "missing"])
def test_no_row_can_expect_a_pass_or_excuse_a_missing_cell(tmp_path: Path, outcome: str) -> None:
    assert len(mistakes(written(tmp_path, ROW.replace('"failed"', f'"{outcome}"')))) == 1


def test_two_rows_for_one_cell_are_told_even_where_they_disagree(tmp_path: Path) -> None:
    path = written(tmp_path, ROW + ROW.replace("failed", "timeout"))
    assert mistakes(path) == ("cell.1: bert stands in cpu.toml: cell.0 too, for the same cell",)


def test_a_row_may_be_about_several_types_and_wrong_names_among_them_are_told(tmp_path: Path) -> None:
    several = ROW.replace('model_type = "bert"', 'model_types = ["bert", "gpt2"]')
    expectations = load_expectations(written(tmp_path, several))
    assert {one.model_type for one in expectations.rows} == {"bert", "gpt2"}
    assert expectations.expected(KEY) == row()
    assert mistakes(written(tmp_path, several.replace("gpt2", "gtp2"))) == (
        "cell.0.model_types.1: no model type 'gtp2' (did you mean 'gpt2'?)",
    )
    assert len(mistakes(written(tmp_path, several + 'model_type = "llama"\n'))) == 1


def test_a_cell_may_not_stand_in_two_files(tmp_path: Path) -> None:
    written(tmp_path, ROW)
    (tmp_path / "more.toml").write_text(ROW)
    with pytest.raises(UsageError) as caught:
        load_expectations(tmp_path)
    assert caught.value.mistakes == (
        f"{tmp_path / 'more.toml'}: cell.0: bert stands in cpu.toml: cell.0 too, for the same cell",
    )


def test_a_wrong_table_is_told(tmp_path: Path) -> None:
    told = mistakes(written(tmp_path, ROW.replace("[[cell]]", "[[cells]]")))
    assert told == ("cells: unknown key (did you mean 'cell'?)",)
    assert mistakes(written(tmp_path, "cell = 5\n")) == ("cell: Input should be a valid array, not 5",)


def test_a_suggested_row_is_what_people_would_write() -> None:
    assert suggested_row(cell('no "pad" token\nmore')) == (
        "[[cell]]\n"
        'model_type = "bert"\n'
        'backend = "cpu"\n'
        'stack = "current"\n'
        'api = "pipeline"\n'
        'outcome = "failed"\n'
        'reason = "no \\"pad\\" token more"\n'
    )


@given(st.text(st.characters(codec=None)))
def test_a_suggested_row_can_be_pasted_whatever_the_reason(
    tmp_path_factory: pytest.TempPathFactory, reason: str
) -> None:
    folder = written(tmp_path_factory.mktemp("pasted"), suggested_row(cell(reason)))
    expected = load_expectations(folder).expected(KEY)
    assert expected is not None
    assert expected.outcome == "failed"
    assert expected.stack == "current"
