"""The plan: what words select, how it is split, and how wrong words are told."""

import argparse
import dataclasses
import json
import random
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import ROOT
from harness import plan as plan_verb
from harness.catalog import Catalog
from harness.configuration import load_configuration
from harness.errors import UsageError
from harness.matrix import Matrix
from harness.plan import balanced, ci_matrix, make_plan, pick_shards, selection_from
from harness.records import Plan, Recipe
from harness.selection import Selection, add_selection_arguments

CONFIGURATION = load_configuration()
MATRIX, CATALOG = CONFIGURATION.matrix, CONFIGURATION.catalog


def selection(*arguments: str) -> Selection:
    parser = argparse.ArgumentParser()
    add_selection_arguments(parser)
    return selection_from(parser.parse_args(arguments))


def planned(*arguments: str) -> Plan:
    return make_plan(MATRIX, CATALOG, selection(*arguments), backends=["cpu"])


def types_of(plan: Plan) -> list[str]:
    return sorted(name for shard in plan.shards for name in shard.model_types)


def mistakes(*arguments: str, backends: tuple[str, ...] = ("cpu",)) -> tuple[str, ...]:
    with pytest.raises(UsageError) as caught:
        make_plan(MATRIX, CATALOG, selection(*arguments), backends=backends)
    return caught.value.mistakes


def run_verb(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    plan_verb.add_arguments(parser)
    return plan_verb.main(parser.parse_args(arguments))


def two_stacks() -> tuple[Matrix, Catalog]:
    """A backend with a newer and an older stack; only the older one has graphormer and van."""
    cpu = MATRIX.backends["cpu"].model_copy(update={"stacks": ("current", "older")})
    older = MATRIX.stacks["current"].model_copy(update={"transformers": "4.0.0"})
    matrix = MATRIX.model_copy(update={"backends": {"cpu": cpu}, "stacks": {**MATRIX.stacks, "older": older}})
    stacks = {**CATALOG.stacks, "older": frozenset({"bert", "graphormer", "van"})}
    return matrix, dataclasses.replace(CATALOG, stacks=stacks)


# --- what words select --------------------------------------------------------------------------------


def test_no_words_select_the_default_list() -> None:
    plan = planned()
    assert types_of(plan) == sorted(CATALOG.lists["families"])
    assert plan.selection == "list families"


def test_spelling_the_default_out_is_the_same_plan() -> None:
    assert planned("--list", "families").digest == planned().digest


def test_types_families_and_lists_add_up() -> None:
    plan = planned("--types", "bert,gpt2", "--types", "bert", "--family", "code llama", "--family", "Donut")
    assert types_of(plan) == ["bert", "donut-swin", "gpt2", "llama", "vision-encoder-decoder"]
    assert plan.selection == "--types bert,gpt2 --family 'code llama' --family Donut"
    assert types_of(planned("--types", "esm", "--list", "twelve")) == sorted([*CATALOG.lists["twelve"], "esm"])


def test_a_domain_only_keeps_what_is_in_it() -> None:
    plan = planned("--list", "twelve", "--domain", "audio,document")
    assert types_of(plan) == ["layoutlm", "wav2vec2", "whisper"]
    assert plan.selection == "list twelve --domain audio --domain document"
    assert types_of(planned("--types", "bert,vit", "--domain", "vision")) == ["vit"]


def test_the_whole_baseline_and_all_types_can_be_planned() -> None:
    assert len(types_of(planned("--list", "baseline"))) == 300
    assert types_of(planned("--list", "all")) == sorted(CATALOG.domains)


def test_a_planned_type_carries_what_the_catalog_says() -> None:
    (shard,) = planned("--types", "llama").shards
    (llama,) = shard.types
    assert llama.domain == "text"
    assert llama.families == ("LLaMA", "TinyLlama", "CodeLlama")
    assert llama.expected_seconds == CATALOG.expected_seconds("llama")
    assert llama.recipe == CATALOG.recipes.get("llama")


def test_what_nobody_can_run_is_planned_with_its_reason() -> None:
    (shard,) = planned("--types", "orca-3").shards
    assert shard.stack == "current"
    assert shard.types[0].unavailable == CATALOG.unavailable["orca-3"].reason


def test_a_type_of_another_library_is_planned_on_the_stack_that_has_it() -> None:
    places = {shard.stack: set(shard.model_types) for shard in planned().shards}
    assert places["outside"] == {"audioldm2", "graphsage", "vqgan"}


def test_the_container_is_told_the_limits_of_its_backend() -> None:
    execution = planned().backends["cpu"]
    limits = MATRIX.backends["cpu"].limits
    assert execution.child_memory_bytes == limits.child_memory
    assert execution.timeout_seconds == limits.timeout_seconds


def test_a_type_that_the_only_stack_lacks_is_planned_all_the_same() -> None:
    assert "graphormer" not in CATALOG.stacks["current"]
    plan = planned("--types", "graphormer", "--stack", "current")
    assert plan.planned_shards == {"cpu/current/1of1": ("graphormer",)}


def test_a_type_is_planned_once_on_the_newest_stack_that_has_it() -> None:
    matrix, catalog = two_stacks()
    words = selection("--types", "bert,graphormer,jukebox")
    assert make_plan(matrix, catalog, words).planned_shards == {
        "cpu/current/1of1": ("bert", "jukebox"),
        "cpu/older/1of1": ("graphormer",),
    }


def test_a_type_is_planned_besides_on_the_newest_stack_whose_exporter_has_it() -> None:
    matrix, catalog = two_stacks()
    catalog = dataclasses.replace(catalog, exported={"older": frozenset({"bert", "van"})})
    words = selection("--types", "bert,gpt2,van")
    assert make_plan(matrix, catalog, words).planned_shards == {
        "cpu/current/1of1": ("bert", "gpt2"),
        "cpu/older/1of1": ("bert", "van"),
    }


def test_optimum_intel_is_tried_on_the_stack_that_has_it_and_all_else_on_the_newest_transformers() -> None:
    plan = make_plan(MATRIX, CATALOG, selection("--types", "bert,detr"), backends=["openvino"])
    assert plan.planned_shards == {
        "openvino/openvino-current/1of1": ("bert", "detr"),
        "openvino/openvino-exporter/1of1": ("bert",),
    }


def test_the_baseline_is_first_where_there_is_no_time_for_all() -> None:
    (types,) = (shard.model_types for shard in planned("--list", "all", "--stack", "current").shards)
    baseline = set(CATALOG.lists["baseline"])
    assert set(types[: len(baseline)]) == baseline


def test_a_type_goes_to_an_older_stack_where_the_newer_one_is_broken_for_it() -> None:
    matrix, catalog = two_stacks()
    broken = Recipe(reason="of this test", broken_on={"current": "it lost generate"})
    catalog = dataclasses.replace(catalog, recipes={**catalog.recipes, "bert": broken, "vit": broken})
    plan = make_plan(matrix, catalog, selection("--types", "bert,gpt2,vit"), backends=["cpu"])
    assert {shard.stack: list(shard.model_types) for shard in plan.shards} == {
        "current": ["gpt2", "vit"],  # no other stack has vit: it is planned, and tells what is broken
        "older": ["bert"],
    }


def test_what_a_recipe_has_for_one_stack_is_planned_there_alone() -> None:
    matrix, catalog = two_stacks()
    recipe = Recipe(reason="of this test", config={"a": 1, "b": 2}, config_on={"older": {"b": 3}})
    catalog = dataclasses.replace(catalog, recipes={**catalog.recipes, "bert": recipe})
    for stack, config in {"current": {"a": 1, "b": 2}, "older": {"a": 1, "b": 3}}.items():
        (shard,) = make_plan(matrix, catalog, selection("--types", "bert", "--stack", stack), backends=["cpu"]).shards
        assert [one.recipe and one.recipe.config for one in shard.types] == [config]


def test_every_type_of_the_baseline_is_planned_on_a_stack_that_has_it() -> None:
    for shard in planned("--list", "baseline").shards:
        assert set(shard.model_types) <= CATALOG.stacks[shard.stack]


def test_a_stack_can_be_chosen() -> None:
    matrix, catalog = two_stacks()
    plan = make_plan(matrix, catalog, selection("--types", "bert,graphormer", "--stack", "older"))
    assert plan.planned_shards == {"cpu/older/1of1": ("bert", "graphormer")}
    assert plan.selection == "--types bert,graphormer --stack older"


def test_several_backends_are_planned_together() -> None:
    other = MATRIX.backends["cpu"].model_copy(update={"device": "other"})
    matrix = MATRIX.model_copy(update={"backends": {"cpu": MATRIX.backends["cpu"], "other": other}})
    plan = make_plan(matrix, CATALOG, selection("--types", "bert,gpt2", "--shards", "2"))
    assert list(plan.planned_shards) == [
        "cpu/current/1of2",
        "cpu/current/2of2",
        "other/current/1of2",
        "other/current/2of2",
    ]
    assert [shard.id for shard in pick_shards(plan, "1/2")] == ["cpu/current/1of2", "other/current/1of2"]


# --- shards -------------------------------------------------------------------------------------------

durations = st.dictionaries(st.text(min_size=1, max_size=8), st.floats(0.01, 1000), min_size=1, max_size=60)


@given(durations, st.data())
def test_every_type_is_in_exactly_one_shard_and_no_shard_is_empty(
    seconds: dict[str, float], data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, len(seconds)))
    parts = balanced(seconds, count)
    assert len(parts) == count
    assert sorted(name for part in parts for name in part) == sorted(seconds)
    assert all(parts)


@given(durations, st.integers(1, 10), st.randoms(use_true_random=False))
def test_the_order_of_the_input_does_not_matter(seconds: dict[str, float], count: int, shuffler: random.Random) -> None:
    items = list(seconds.items())
    shuffler.shuffle(items)
    assert balanced(dict(items), count) == balanced(seconds, count)


@given(durations, st.integers(1, 10))
def test_no_shard_takes_much_longer_than_the_best_split_could(seconds: dict[str, float], count: int) -> None:
    longest = max(sum(seconds[name] for name in part) for part in balanced(seconds, count))
    # No split is better than an even one, nor than its longest type.
    best = max(sum(seconds.values()) / count, *seconds.values())
    assert longest <= (2 - 1 / count) * best * (1 + 1e-9)


def test_the_longest_types_are_spread_first() -> None:
    assert balanced({"a": 1, "b": 5, "c": 4, "d": 1}, 2) == [["b", "d"], ["c", "a"]]


def test_shards_do_not_depend_on_the_order_of_words() -> None:
    one = planned("--types", "bert,gpt2,vit,t5,clip", "--shards", "2").planned_shards
    other = planned("--types", "clip,t5,vit,gpt2,bert", "--shards", "2").planned_shards
    assert one == other


def test_every_machine_makes_the_same_plan_whichever_shard_it_runs() -> None:
    digests = {planned("--shard", f"{index}/3").digest for index in (1, 2, 3)}
    assert digests == {planned("--shards", "3").digest}
    assert planned().digest not in digests


def test_a_shard_is_picked_by_its_position_or_its_id() -> None:
    plan = planned("--list", "twelve", "--shards", "3")
    assert pick_shards(plan, None) == plan.shards
    assert pick_shards(plan, "2/3") == (plan.shards[1],)
    assert pick_shards(plan, "cpu/current/2of3") == (plan.shards[1],)
    assert planned("--list", "twelve", "--shard", "cpu/current/2of3") == plan


@pytest.mark.parametrize("wanted", ["2/4", "4/3", "cpu/curent/2of3", "2of3", "02/3", ""])
def test_a_shard_that_the_plan_does_not_have_is_told(wanted: str) -> None:
    with pytest.raises(UsageError, match=f"^--shard: the plan has no shard '{wanted}'"):
        pick_shards(planned("--shards", "3"), wanted)


def test_a_part_without_types_of_an_older_stack_has_no_shard_there() -> None:
    matrix, catalog = two_stacks()
    plan = make_plan(matrix, catalog, selection("--types", "bert,gpt2,t5,van", "--shards", "2"))
    assert types_of(plan) == ["bert", "gpt2", "t5", "van"]
    assert list(plan.planned_shards) == ["cpu/current/1of2", "cpu/current/2of2", "cpu/older/2of2"]


# --- wrong words --------------------------------------------------------------------------------------


def test_all_wrong_words_are_told_at_once_with_the_nearest_right_ones() -> None:
    assert mistakes(
        *("--types", "brt,gpt2,Whispr", "--family", "codelama", "--domain", "audo", "--list", "twlve"),
        *("--stack", "curent", "--shard", "3/2", "--shards", "4"),
        backends=("cpuu", "cpu"),
    ) == (
        "--backend: no backend 'cpuu' (did you mean 'cpu'?)",
        "--types: no model type 'brt' (did you mean 'bert'?)",
        "--types: no model type 'Whispr' (did you mean 'whisper'?)",
        "--domain: no domain 'audo' (did you mean 'audio'?)",
        "--list: no list 'twlve' (did you mean 'twelve'?)",
        "--family: no family 'codelama' (did you mean 'CodeLlama'?)",
        "--stack: the backend cpuu has no stack 'curent' (did you mean 'current'?)",
        "--stack: the backend cpu has no stack 'curent' (did you mean 'current'?)",
        "--shard: '3/2': there are shards 1 to 2",
        "--shard 3/2 and --shards 4 disagree",
    )


def test_the_whole_message_says_what_it_is_about() -> None:
    with pytest.raises(UsageError) as caught:
        planned("--types", "zzzzzz")
    assert str(caught.value) == "1 mistake in what to run\n  - --types: no model type 'zzzzzz'"
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--shard", "0/2"], "--shard: '0/2': there are shards 1 to 2"),
        (["--shard", "3/2"], "--shard: '3/2': there are shards 1 to 2"),
        (["--shard", "a/b"], "--shard: 'a/b' is not K/N, as 1/4, nor the id of a shard"),
        (["--shard", "1"], "--shard: '1' is not K/N, as 1/4, nor the id of a shard"),
        (["--shard", "-1/2"], "--shard: '-1/2' is not K/N, as 1/4, nor the id of a shard"),
        (["--shard", "1/0"], "--shard: '1/0': there is no such split"),
        (["--shards", "0"], "--shards: 0 is less than 1"),
        (["--shards", "13", "--list", "twelve"], "13 shards, but only 12 types: list twelve"),
        (["--shard", "1/13", "--list", "twelve"], "13 shards, but only 12 types: list twelve"),
        (["--types", "bert", "--domain", "audio"], "--types bert --domain audio: no type is left"),
    ],
)
def test_impossible_words_are_told(arguments: list[str], told: str) -> None:
    arguments = [f"{arguments[0]}={arguments[1]}", *arguments[2:]]
    assert mistakes(*arguments) == (told,)


def test_an_option_with_nothing_in_it_is_not_taken_for_no_option() -> None:
    assert mistakes("--types", "") == ("--types: no model type ''",)
    assert mistakes("--types", " , ") == ("--types: no model type ''",)


# --- the verb -----------------------------------------------------------------------------------------


def test_the_verb_prints_a_ci_matrix(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_verb("--backend", "cpu", "--list", "twelve", "--shards", "2") == 0
    printed = json.loads(capsys.readouterr().out)
    plan = planned("--list", "twelve", "--shards", "2")
    assert printed == ci_matrix(plan, plan.shards, MATRIX)
    assert printed["plan_digest"] == plan.digest
    seconds = [sum(one.expected_seconds for one in shard.types) for shard in plan.shards]
    assert printed["include"] == [
        {
            "backend": "cpu",
            "stack": "current",
            "shard": f"{index}/2",
            "id": f"cpu/current/{index}of2",
            "runs_on": ["ubuntu-24.04"],
            "types": len(plan.shards[index - 1].types),
            "expected_seconds": round(seconds[index - 1], 1),
        }
        for index in (1, 2)
    ]


def test_shards_that_need_a_gpu_are_for_runners_of_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    run_verb("--backend", "cpu", "--backend", "cuda", "--types", "bert")
    include = json.loads(capsys.readouterr().out)["include"]
    labels = {row["backend"]: row["runs_on"] for row in include}
    assert labels["cuda"] == ["self-hosted", "linux", "gpu"]
    assert "self-hosted" not in labels["cpu"]


def test_the_workflow_plans_cuda_or_shows_that_it_was_skipped_and_never_both_or_neither() -> None:
    workflow = (ROOT / ".github" / "workflows" / "matrix.yml").read_text(encoding="utf-8")
    asked = re.findall(r"vars\.MATRIX_GPU_RUNNERS (==|!=) 'true'(.*)", workflow)
    assert [sign for sign, _ in asked] == ["==", "!="]
    assert "'--backend cuda'" in asked[0][1]
    skipped = workflow[workflow.index("vars.MATRIX_GPU_RUNNERS != 'true'") :]
    assert re.search(r'\A.*\n    name: "cuda: SKIPPED, no GPU runner"', skipped)
    assert "runs-on: ${{ matrix.runs_on }}" in workflow


def test_the_verb_prints_only_the_shard_that_was_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    run_verb("--list", "twelve", "--shard", "2/2", "--backend", "cpu")
    printed = json.loads(capsys.readouterr().out)
    assert [row["id"] for row in printed["include"]] == ["cpu/current/2of2"]
    assert printed["plan_digest"] == planned("--list", "twelve", "--shards", "2").digest


def test_a_written_plan_is_the_whole_plan_and_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "plan.json"
    run_verb("--backend", "cpu", "--shard", "1/2", "--out", str(path))
    plan = Plan.model_validate_json(path.read_text())
    assert plan == planned("--shards", "2")
    assert plan.digest == planned("--shards", "2").digest
    assert list(path.parent.iterdir()) == [path]


def test_nothing_is_written_where_a_word_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "new" / "plan.json"
    with pytest.raises(UsageError):
        run_verb("--types", "brt", "--out", str(path))
    with pytest.raises(UsageError):
        run_verb("--backend", "cpu", "--shard", "gpu/current/1of2", "--out", str(path))
    assert not path.parent.exists()
    assert capsys.readouterr().out == ""
