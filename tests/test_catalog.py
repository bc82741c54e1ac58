"""data/: what it says of the repository's own types, and how its mistakes are told."""

import json
import shutil
from pathlib import Path

import pytest

from harness import ROOT
from harness.catalog import Catalog
from harness.catalog_files import load_catalog
from harness.configuration import load_configuration
from harness.errors import UsageError
from harness.matrix import load_matrix

TWELVE = ["bert", "gpt2", "llama", "t5", "vit", "detr", "clip", "llava", "layoutlm", "whisper", "wav2vec2", "patchtst"]


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_configuration().catalog


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A copy of the repository's own configuration, to be broken."""
    shutil.copy(ROOT / "matrix.toml", tmp_path)
    shutil.copytree(ROOT / "data", tmp_path / "data")
    return tmp_path


def mistakes(root: Path) -> tuple[str, ...]:
    """Of all files below ``root``, with paths as they stand in the repository."""
    with pytest.raises(UsageError) as caught:
        load_configuration(root)
    count = len(caught.value.mistakes)
    assert caught.value.message == f"{count} mistake{'' if count == 1 else 's'} in the configuration"
    return tuple(mistake.replace(f"{root}/", "") for mistake in caught.value.mistakes)


def append(root: Path, name: str, text: str) -> None:
    path = root / "data" / name
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")


# --- the repository's own -----------------------------------------------------------------------------


def test_the_lists_have_the_names_that_they_should(catalog: Catalog) -> None:
    assert list(catalog.lists["twelve"]) == TWELVE
    assert len(catalog.lists["baseline"]) == 300
    assert set(catalog.lists["baseline"]) < set(catalog.lists["all"])
    assert catalog.stacks["current"] < set(catalog.lists["all"])


def test_every_name_that_people_use_has_its_types(catalog: Catalog) -> None:
    assert len(catalog.families) == 85
    assert set(catalog.lists["families"]) == {name for family in catalog.families.values() for name in family.types}
    assert len(catalog.lists["families"]) == 85  # three names are llama; Phi-4, DeepSeek and Donut are two types each
    elsewhere = {"audioldm2", "vqgan", "graphsage", *catalog.unavailable}
    beyond = [name for name, family in catalog.families.items() if set(family.types) & elsewhere]
    assert len(catalog.families) - len(beyond) == 76


def test_what_nobody_can_run_is_in_no_stack_and_in_a_domain(catalog: Catalog) -> None:
    for name, row in catalog.unavailable.items():
        assert catalog.domains[name] == row.domain
        assert not any(name in types for types in catalog.stacks.values())


def test_a_list_is_what_the_default_selection_names(catalog: Catalog) -> None:
    assert load_matrix().defaults.selection in catalog.lists


def test_every_known_type_has_a_domain(catalog: Catalog) -> None:
    assert set(catalog.domains) == set(catalog.lists["all"])


@pytest.mark.parametrize(
    ("domain", "types"),
    [
        ("text", "bert gpt2 llama t5 mamba rwkv tapas xlm-prophetnet clip_text_model code_llama"),
        ("vision", "vit detr sam sam_mask_decoder resnet clip_vision_model timm_wrapper cvt van"),
        ("vision-language", "clip llava qwen2_vl blip-2 grounding-dino owlvit vilt idefics3 aya_vision"),
        ("document", "layoutlm layoutlmv2 layoutlmv3 donut-swin markuplm udop trocr nougat table-transformer"),
        ("audio", "whisper wav2vec2 clap musicgen encodec bark qwen2_audio qwen2_audio_encoder dac jukebox"),
        ("time-series", "patchtst patchtsmixer informer autoformer time_series_transformer timesfm"),
        ("biology", "esm biogpt"),
        ("graph", "graphormer"),
        ("other", "decision_transformer trajectory_transformer perceiver"),
    ],
)
def test_types_are_in_the_domain_that_people_look_for_them_in(catalog: Catalog, domain: str, types: str) -> None:
    assert {name: catalog.domains[name] for name in types.split()} == dict.fromkeys(types.split(), domain)


def test_several_names_are_one_architecture(catalog: Catalog) -> None:
    assert catalog.families_of("llama") == ("LLaMA", "TinyLlama", "CodeLlama")
    assert catalog.families_of("graphormer") == ()


@pytest.mark.parametrize("word", ["CodeLlama", "codellama", "code llama", "Code-Llama", "CODE_LLAMA"])
def test_a_family_is_found_however_it_is_written(catalog: Catalog, word: str) -> None:
    family = catalog.find_family(word)
    assert family is not None
    assert family.types == ("llama",)


def test_a_type_without_a_measured_duration_takes_the_default(catalog: Catalog) -> None:
    assert catalog.expected_seconds("no such type") == catalog.default_seconds


# --- mistakes -----------------------------------------------------------------------------------------


def test_a_wrong_key_in_a_recipe_names_file_place_and_the_nearest_key(root: Path) -> None:
    (root / "data/recipes/text.toml").write_text('[bert]\nreason = "r"\nconfg = { a = 1 }\n')
    assert mistakes(root) == ("data/recipes/text.toml: bert.confg: unknown key (did you mean 'config'?)",)


def test_a_repair_changes_something_and_a_broken_stack_is_one_that_there_is(root: Path) -> None:
    (root / "data/recipes/text.toml").write_text(
        '[opt]\nreason = "r"\nbroken_on = { v44 = "r" }\n[ctrl]\nreason = "r"\n[ctrl.repairs.nothing]\nreason = "r"\n'
    )
    nothing, no_stack = mistakes(root)
    assert nothing.startswith("data/recipes/text.toml: ctrl.repairs.nothing: give attributes, inherits, a function or ")
    assert no_stack == "data/recipes/text.toml: opt.broken_on: no stack 'v44' in matrix.toml (did you mean 'v4'?)"


def test_config_for_a_stack_is_for_one_that_there_is(root: Path) -> None:
    (root / "data/recipes/text.toml").write_text('[opt]\nreason = "r"\nconfig_on = { v44 = { a = 1 } }\n')
    assert mistakes(root) == (
        "data/recipes/text.toml: opt.config_on: no stack 'v44' in matrix.toml (did you mean 'v4'?)",
    )


def test_a_wider_tolerance_needs_a_reason_and_a_backend_that_there_is(root: Path) -> None:
    (root / "data/recipes/text.toml").write_text(
        '[bert]\nreason = "r"\ntolerances = { cpuu = { value = 1e-3, reason = "r" } }\n'
        '[gpt2]\nreason = "r"\ntolerances = { cpu = { value = 1e-3 } }\n'
    )
    assert mistakes(root) == (
        "data/recipes/text.toml: gpt2.tolerances.cpu.reason: required, and not there",
        "data/recipes/text.toml: bert.tolerances: no backend 'cpuu' in matrix.toml (did you mean 'cpu'?)",
    )


def test_a_recipe_of_an_unknown_type_names_the_nearest(root: Path) -> None:
    (root / "data/recipes/text.toml").write_text('[brt]\nreason = "r"\n')
    assert mistakes(root) == ("data/recipes/text.toml: the whole file: no model type 'brt' (did you mean 'bert'?)",)


def test_a_type_of_another_library_without_a_pipeline_must_say_why(root: Path) -> None:
    (root / "data/recipes/outside.toml").write_text(
        '[graphsage]\nreason = "r"\n[graphsage.elsewhere]\nlibrary = "torch-geometric"\nmodel = "network"\n'
        'components = { network = { made_by = "torch_geometric.nn.GraphSAGE" } }\n'
    )
    (told,) = mistakes(root)
    assert "graphsage.elsewhere" in told
    assert "give pipeline or no_pipeline" in told


def test_the_component_that_is_the_type_must_be_among_its_components(root: Path) -> None:
    (root / "data/recipes/outside.toml").write_text(
        '[vqgan]\nreason = "r"\n[vqgan.elsewhere]\nlibrary = "diffusers"\nmodel = "vae"\nno_pipeline = "r"\n'
        'components = { vqvae = { made_by = "diffusers.VQModel" } }\n'
    )
    (told,) = mistakes(root)
    assert "model: no component 'vae'" in told


def test_a_recipe_that_is_no_table_and_one_without_reason_are_told(root: Path) -> None:
    (root / "data/recipes/text.toml").write_text('lama = 1\n[bert]\ntask = "fill-mask"\n')
    assert mistakes(root) == (
        "data/recipes/text.toml: lama: Input should be an object, not 1",
        "data/recipes/text.toml: bert.reason: required, and not there",
        "data/recipes/text.toml: the whole file: no model type 'lama' (did you mean 'llama'?)",
    )


def test_a_family_of_an_unknown_type_names_the_nearest(root: Path) -> None:
    append(root, "families.toml", 'Novel = { types = ["LAMA"] }\nEmpty = { types = [] }\n')
    assert mistakes(root) == (
        "data/families.toml: Empty.types: needs at least 1, and has 0",
        "data/families.toml: Novel.types: no model type 'LAMA' (did you mean 'llama'?)",
    )


def test_one_family_written_in_two_ways_is_told(root: Path) -> None:
    append(root, "families.toml", '"phi 3" = { types = ["phi3"] }\n')
    assert mistakes(root) == ("data/families.toml: phi 3: the same name as 'Phi-3', written differently",)


def test_wrong_lists_are_told(root: Path) -> None:
    append(root, "lists.toml", 'baseline = ["bert"]\nempty = []\nmine = ["bert", "gpt_2", "bert"]\n')
    assert mistakes(root) == (
        "data/lists.toml: baseline: a list of this name is built in",
        "data/lists.toml: empty: empty",
        "data/lists.toml: mine: no model type 'gpt_2' (did you mean 'gpt2'?)",
        "data/lists.toml: mine: 'bert' stands there twice",
    )


def test_what_can_be_run_is_not_called_unavailable(root: Path) -> None:
    append(root, "unavailable.toml", '[bert]\ndomain = "text"\nreason = "r"\n[new]\ndomain = "txt"\n')
    domains = "'text', 'vision', 'vision-language', 'document', 'audio', 'time-series', 'biology', 'graph' or 'other'"
    assert mistakes(root) == (
        f"data/unavailable.toml: new.domain: Input should be {domains}, not 'txt'",
        "data/unavailable.toml: new.reason: required, and not there",
        "data/unavailable.toml: bert: a model type of this name is in the baseline or in a stack",
    )


def test_wrong_domains_are_told(root: Path) -> None:
    append(root, "domains.toml", 'txt = ["bert"]\ntime-series = ["patchts", "graphormer"]\n')
    assert mistakes(root) == (
        "data/domains.toml: txt: no such domain (did you mean 'text'?)",
        "data/domains.toml: time-series: no model type 'patchts' (did you mean 'patchtst'?)",
        "data/domains.toml: time-series: 'graphormer' stands in graph too",
    )


def test_a_baseline_type_without_any_domain_is_told(root: Path) -> None:
    path = root / "data/huggingface_model_types.json"
    path.write_text(json.dumps([*json.loads(path.read_text()), "brand_new"]))
    assert mistakes(root) == ("data/domains.toml: the whole file: no domain for 'brand_new', which no stack has",)


def test_a_baseline_of_the_wrong_shape_is_told_once(root: Path) -> None:
    path = root / "data/huggingface_model_types.json"
    path.write_text('["bert", 5]')
    assert mistakes(root) == ("data/huggingface_model_types.json: 1: Input should be a valid string, not 5",)
    path.write_text('{"bert": 1}')
    assert mistakes(root) == (
        "data/huggingface_model_types.json: the whole file: Input should be a valid array, not {'bert': 1}",
    )


def test_a_type_twice_in_the_baseline_is_told(root: Path) -> None:
    path = root / "data/huggingface_model_types.json"
    path.write_text(json.dumps([*json.loads(path.read_text()), "bert"]))
    assert mistakes(root) == ("data/huggingface_model_types.json: the whole file: 'bert' stands there twice",)


def test_wrong_durations_are_told(root: Path) -> None:
    (root / "data/durations.toml").write_text('default_secnds = 2\n[seconds]\nbert = 0\ngpt2 = "1"\n')
    assert mistakes(root) == (
        "data/durations.toml: default_seconds: required, and not there",
        "data/durations.toml: seconds.bert: Input should be greater than 0, not 0",
        "data/durations.toml: seconds.gpt2: Input should be a valid number, not '1'",
        "data/durations.toml: default_secnds: unknown key (did you mean 'default_seconds'?)",
    )


def test_the_types_of_a_stack_must_be_there(root: Path) -> None:
    (root / "data/stacks/current.json").rename(root / "data/stacks/curent.json")
    assert mistakes(root) == (
        "data/stacks/current.json: no such file",
        "data/stacks/curent.json: the whole file: no stack 'curent' in matrix.toml (did you mean 'current'?)",
    )


def test_the_types_of_another_transformers_are_refused(root: Path) -> None:
    path = root / "data/stacks/current.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"transformers": "4.0.0"}))
    version = load_matrix().stacks["current"].transformers
    assert mistakes(root) == (f"data/stacks/current.json: transformers: 4.0.0, but matrix.toml says {version}",)


def test_a_default_selection_that_is_no_list_is_told(root: Path) -> None:
    path = root / "matrix.toml"
    path.write_text(path.read_text().replace('selection = "families"', 'selection = "familes"'))
    assert mistakes(root) == ("matrix.toml: defaults.selection: no list 'familes' (did you mean 'families'?)",)


def test_the_mistakes_of_all_files_are_told_at_once(root: Path) -> None:
    path = root / "matrix.toml"
    path.write_text(path.read_text().replace("pids", "pid", 1))
    (root / "data/recipes/text.toml").write_text('[brt]\nreason = "r"\n')
    (root / "data/lists.toml").write_text("twelve = [")
    append(root, "expectations/cpu.toml", '[[cell]]\nmodel_type = "brt"\n')
    told = mistakes(root)
    assert [mistake.split(":")[0] for mistake in told] == [
        "matrix.toml",
        "matrix.toml",
        "data/lists.toml",
        "data/recipes/text.toml",
        "data/expectations/cpu.toml",
        "data/expectations/cpu.toml",
        "data/expectations/cpu.toml",
        "data/expectations/cpu.toml",
    ]
    assert told[2].startswith("data/lists.toml: not valid TOML")


def test_an_unreadable_file_is_told_without_mistakes_that_follow_from_it(root: Path) -> None:
    (root / "data/stacks/current.json").write_text("{")
    assert [mistake.split(":")[0] for mistake in mistakes(root)] == ["data/stacks/current.json"]


def test_an_empty_folder_is_told_file_by_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load_catalog(load_matrix(), tmp_path)
    assert {mistake.split(": ")[1] for mistake in caught.value.mistakes[:-1]} == {"no such file"}
