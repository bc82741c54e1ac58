"""data/ways/: taken from results, compared with what is there, written, read, and planned with."""

import dataclasses
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

import miniatures
from harness import ROOT, __main__
from harness.catalog import Ways
from harness.catalog_files import load_catalog
from harness.configuration import load_configuration
from harness.errors import UsageError
from harness.plan import make_plan
from harness.records import Cell, Environment, Proof, Way
from harness.search import by_file, cells_below, show, without_ways
from harness.selection import Selection
from harness.shard_run import ShardRun
from harness.ways import differences, lost, merged, way_of, ways_of, write_ways

DIRECT = Way(task="fill-mask", model_class="BertForMaskedLM", style="constant", source="signature")
PIPELINE = Way(task="fill-mask", model_class="BertForMaskedLM", style="constant")


def passed(model_type: str, synthesis: str | None, **changes: object) -> Cell:
    """A cell that passed, made in this way."""
    proof = Proof(
        model_class="BertForMaskedLM", weights_sha256="w", inputs_sha256="i", execution_device="cpu",
        synthesis=synthesis,
    )  # fmt: skip
    return miniatures.cell(model_type, proof=proof, **changes)  # type: ignore[arg-type]


def test_what_passed_says_how_it_was_made() -> None:
    cells = [
        passed("bert", "constant, signature"),
        passed("bert", "constant", api="pipeline"),
        passed("real", None),  # not of a synthesised checkpoint
        miniatures.cell("gpt2", outcome="failed"),
    ]
    assert ways_of(cells) == {"bert": {"from_pretrained": DIRECT, "pipeline": PIPELINE}}
    assert way_of(cells[-1]) is None


def test_what_is_found_takes_the_place_of_what_was_there_and_the_rest_stays() -> None:
    other = DIRECT.model_copy(update={"style": "shallow", "not_fed": ("input_values",)})
    before: Ways = {"bert": {"from_pretrained": DIRECT, "pipeline": PIPELINE}, "gpt2": {"from_pretrained": DIRECT}}
    after = merged(before, {"bert": {"from_pretrained": other}, "t5": {"pipeline": PIPELINE}})
    assert differences(before, after) == [
        (
            "~ bert from_pretrained: BertForMaskedLM, for fill-mask, constant, signature -> "
            "BertForMaskedLM, for fill-mask, shallow, signature without input_values"
        ),
        "+ t5 pipeline: BertForMaskedLM, for fill-mask, constant",
    ]
    assert after["gpt2"] == before["gpt2"]
    assert differences(before, {})[0].startswith("- bert from_pretrained")


def test_a_way_that_no_longer_passes_is_told_and_kept() -> None:
    before: Ways = {"bert": {"from_pretrained": DIRECT}}
    cells = [miniatures.cell("bert", outcome="failed"), miniatures.cell("gpt2", outcome="failed")]
    assert lost(before, cells) == [
        "bert from_pretrained: failed now; pinned is BertForMaskedLM, for fill-mask, constant, signature"
    ]
    assert merged(before, ways_of(cells)) == before


def test_nothing_is_written_unless_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("harness.search.WAYS", tmp_path / "ways")
    monkeypatch.setattr("harness.search.ROOT", tmp_path)
    cells = [passed("bert", "constant, signature")]
    show("current", {}, cells, write=False)
    assert "not written" in capsys.readouterr().out
    assert not (tmp_path / "ways").exists()
    show("current", {}, cells, write=True)
    assert "ways/current.json: 1 change\n" in capsys.readouterr().out
    assert load_catalog(None, _data_with(tmp_path)).ways_of("bert", "current") == {"from_pretrained": DIRECT}


def _data_with(tmp_path: Path) -> Path:
    """The repository's data/ with the ways of this test in place of its own."""
    data = tmp_path / "data"
    shutil.copytree(ROOT / "data", data, ignore=shutil.ignore_patterns("ways"))
    shutil.copytree(tmp_path / "ways", data / "ways")
    return data


def test_ways_of_types_and_stacks_that_nobody_has_are_mistakes(tmp_path: Path) -> None:
    ways = tmp_path / "ways"
    write_ways(ways / "curent.json", {"bert": {"pipeline": PIPELINE}})
    write_ways(ways / "current.json", {"brt": {"pipeline": PIPELINE}})
    write_ways(ways / "discovered.json", {"of-tomorrow": {"pipeline": PIPELINE}})
    with pytest.raises(UsageError) as caught:
        load_catalog(load_configuration().matrix, _data_with(tmp_path))
    told = [mistake.rpartition("ways/")[2] for mistake in caught.value.mistakes]
    assert sorted(told) == [
        "curent.json: the whole file: no stack 'curent' in matrix.toml (did you mean 'current'?)",
        "current.json: the whole file: no model type 'brt' (did you mean 'bert'?)",
    ]


def test_a_plan_carries_the_ways_of_its_stack_and_else_those_that_were_discovered() -> None:
    configuration = load_configuration()
    ways: dict[str, Ways] = {
        "current": {"bert": {"pipeline": PIPELINE}},
        "discovered": {"gpt2": {"pipeline": PIPELINE}},
    }
    catalog = dataclasses.replace(configuration.catalog, ways=ways)
    selection = Selection(types=("bert", "gpt2", "t5"))
    (shard,) = make_plan(configuration.matrix, catalog, selection, backends=("cpu",)).shards
    assert [planned.ways for planned in shard.types] == [{"pipeline": PIPELINE}, {"pipeline": PIPELINE}, {}]
    (shard,) = make_plan(configuration.matrix, without_ways(catalog), selection, backends=("cpu",)).shards
    assert not any(planned.ways for planned in shard.types)


def test_a_shard_is_told_all_that_its_stack_is_held_to_have() -> None:
    configuration = load_configuration()
    matrix, catalog = configuration.matrix, configuration.catalog
    shards = make_plan(matrix, catalog, Selection(types=("bert", "van", "vqgan")), backends=("cpu",)).shards
    told = {shard.stack: set(shard.registry) for shard in shards}
    # The types of other libraries are written down by hand: no transformers can be asked for them.
    assert told == {"current": catalog.stacks["current"], "v4": catalog.stacks["v4"], "outside": set()}


def test_a_transformers_that_has_other_types_than_its_stacks_file_is_told_when_the_shard_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    installed = ModuleType("harness.cell.registry")
    installed.model_types = lambda: ["bert", "of-tomorrow"]  # type: ignore[attr-defined]
    installed.pipeline_tasks = tuple  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "harness.cell.registry", installed)
    plan = miniatures.plan(["bert"])

    def environment(*registry: str) -> Environment:
        shard = plan.shards[0].model_copy(update={"registry": registry})
        run = ShardRun(plan, shard, plan.backends[shard.backend], 1, tmp_path)
        return run._with_registry(miniatures.environment())

    found = environment("bert", "van")
    assert (found.new_types, found.gone_types) == (("of-tomorrow",), ("van",))
    assert "has besides of-tomorrow; has no longer van" in capsys.readouterr().out
    for same in (("bert", "of-tomorrow"), ()):  # the very same; a stack that cannot be asked
        assert environment(*same) == miniatures.environment()
    assert capsys.readouterr().out == ""


def test_cells_of_a_stack_of_ones_own_are_kept_for_types_that_no_stack_has() -> None:
    catalog = load_configuration().catalog
    cells = [miniatures.cell("bert"), *(miniatures.cell(one, stack="own-x") for one in ("gpt2", "of-tomorrow"))]
    assert by_file(cells, catalog) == {"current": cells[:1], "discovered": cells[2:]}


def test_a_search_for_nothing_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["search"]) == 2
    assert "Name some types" in capsys.readouterr().err
    with pytest.raises(UsageError, match=r"no results\.jsonl"):
        cells_below(tmp_path)


def test_a_type_that_a_recipe_writes_down_whole_has_no_way() -> None:
    cell = miniatures.cell("vqgan")
    assert cell.proof is not None
    proof = cell.proof.model_copy(update={"synthesis": "written in the recipe"})
    assert way_of(cell.model_copy(update={"proof": proof})) is None
