"""``--weights`` before anything is started: a folder or a hub's answer, told apart by whose it is to mend."""

import json
from pathlib import Path

import pytest

from harness import weights
from harness.configuration import load_configuration
from harness.errors import EnvironmentBrokenError, HarnessError, UsageError
from harness.hub import Hub, refusal
from harness.plan import make_plan
from harness.records import Plan
from harness.selection import Selection

ENDPOINT = "http://hub.test"


def checkpoint(folder: Path, **config: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"} | config))
    (folder / "model.safetensors").write_bytes(b"not read here")
    return folder


def planned(*types: str, folder: Path, trust: bool = False, **words: object) -> Plan:
    configuration = load_configuration()
    selection = Selection(types=types, weights=str(folder), trust_remote_code=trust, **words)  # type: ignore[arg-type]
    found = weights.find(selection.weights, trust_remote_code=trust)
    return make_plan(configuration.matrix, configuration.catalog, selection, backends=("cpu",), found=found)


def test_the_type_of_a_folder_is_the_one_in_its_config(tmp_path: Path) -> None:
    plan = planned(folder=checkpoint(tmp_path / "mine"))
    assert plan.planned_shards == {"cpu/current/1of1": ("bert",)}
    assert plan.weights is not None
    assert (plan.weights.source, plan.weights.name) == ("folder", str(tmp_path / "mine"))
    assert plan.selection == f"--weights {tmp_path / 'mine'}"


def test_real_weights_run_under_the_limits_of_full_scale(tmp_path: Path) -> None:
    full = load_configuration().matrix.backends["cpu"].full
    assert full is not None
    assert planned(folder=checkpoint(tmp_path)).backends["cpu"].child_memory_bytes == full.child_memory


def test_the_digest_is_of_every_file_and_of_nothing_hidden(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path)
    before = weights.folder_digest(folder)
    (folder / ".git").mkdir()
    (folder / ".git" / "HEAD").write_text("ref")
    assert weights.folder_digest(folder) == before
    (folder / "model.safetensors").write_bytes(b"not read there")
    assert weights.folder_digest(folder) != before


def test_other_weights_than_were_planned_are_refused(tmp_path: Path) -> None:
    plan = planned(folder=checkpoint(tmp_path))
    assert plan.weights is not None
    weights.check_folder(plan.weights, tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"another")
    with pytest.raises(UsageError, match="not the weights that were planned"):
        weights.check_folder(plan.weights, tmp_path)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("./nowhere", "no such folder"),
        ("/nowhere/at/all", "no such folder"),
        ("a/b/c", "no such folder"),
        ("not an id", "neither a folder nor an id"),
    ],
)
def test_words_that_name_nothing_are_told_without_asking_a_hub(words: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        weights.find(words, environ={"HF_ENDPOINT": "http://127.0.0.1:9"})


def test_a_file_is_told_with_its_folder(tmp_path: Path) -> None:
    file = checkpoint(tmp_path) / "config.json"
    with pytest.raises(UsageError, match=f"name its folder, {tmp_path}"):
        weights.find(str(file))


@pytest.mark.parametrize(
    ("content", "told"), [("{", "not JSON"), ("[]", "no model_type"), ('{"hidden_size": 1}', "no model_type")]
)
def test_a_config_that_names_no_type_is_told(tmp_path: Path, content: str, told: str) -> None:
    (checkpoint(tmp_path) / "config.json").write_text(content)
    with pytest.raises(UsageError, match=told):
        weights.find(str(tmp_path))


def test_a_folder_without_weights_or_config_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no config.json"):
        weights.find(str(tmp_path))
    (checkpoint(tmp_path) / "model.safetensors").unlink()
    with pytest.raises(UsageError, match="no weights in this folder"):
        weights.find(str(tmp_path))


def test_another_type_than_the_checkpoints_is_a_mistake(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path)
    planned("bert", folder=folder)
    with pytest.raises(UsageError, match=r"--types gpt2: the model type of .* is bert"):
        planned("gpt2", folder=folder)


def test_options_that_the_checkpoint_answers_are_mistakes_all_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        planned(folder=checkpoint(tmp_path), list="twelve", domains=("text",), scale="full")
    assert [one.split(":")[0] for one in caught.value.mistakes] == [
        "--list and --weights",
        "--domain and --weights",
        "--scale and --weights",
    ]


def test_a_type_that_nobody_knows_needs_its_code_to_be_trusted_by_name(tmp_path: Path) -> None:
    plain = checkpoint(tmp_path / "plain", model_type="my_own")
    with pytest.raises(UsageError, match="no stack has the model type 'my_own'"):
        planned(folder=plain, trust=True)
    coded = checkpoint(tmp_path / "coded", model_type="my_own", auto_map={"AutoModel": "mine.Mine"})
    with pytest.raises(UsageError, match="--trust-remote-code runs"):
        planned(folder=coded)
    plan = planned(folder=coded, trust=True)
    assert plan.weights is not None
    assert plan.weights.trust_remote_code
    assert plan.shards[0].types[0].domain == "other"


def test_trusting_code_without_weights_is_a_mistake() -> None:
    configuration = load_configuration()
    selection = Selection(types=("bert",), trust_remote_code=True)
    with pytest.raises(UsageError, match="--trust-remote-code"):
        make_plan(configuration.matrix, configuration.catalog, selection)


def test_scale_full_is_another_plan_with_limits_and_a_cap_of_its_own() -> None:
    configuration = load_configuration()
    tiny, full = (
        make_plan(configuration.matrix, configuration.catalog, Selection(types=("bert",), scale=scale))
        for scale in ("tiny", "full")
    )
    assert tiny.digest != full.digest
    assert tiny.backends["cpu"].most_parameters is None
    assert full.backends["cpu"].most_parameters == 1_500_000_000
    assert full.selection == "--types bert --scale full"


def test_every_kind_of_weights_has_its_note(tmp_path: Path) -> None:
    plan = planned(folder=checkpoint(tmp_path))
    assert weights.note("tiny", None) == "tiny, synthetic weights"
    assert weights.note("full", None) == "full size, random weights"
    assert weights.note(plan.scale, plan.weights) == f"real weights: {tmp_path}"


# --- the hub ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "kind", "told"),
    [
        (429, None, EnvironmentBrokenError, "too many requests"),
        (503, None, EnvironmentBrokenError, "out of order"),
        (500, None, EnvironmentBrokenError, "out of order"),
        (401, "RepoNotFound", UsageError, "does not exist"),
        (404, "RepoNotFound", UsageError, "does not exist"),
        (404, "RevisionNotFound", UsageError, "no such revision"),
        (401, "GatedRepo", UsageError, "gated"),
        (403, "GatedRepo", UsageError, "accept its terms at http://hub.test/a/b"),
        (404, "EntryNotFound", UsageError, "no config.json"),
        (400, None, UsageError, "refuses"),
    ],
)
def test_a_hubs_answer_is_the_users_to_mend_or_its_own_trouble(
    status: int, code: str | None, kind: type[HarnessError], told: str
) -> None:
    error = refusal(status, "a/b", ENDPOINT, code=code, file="config.json")
    assert type(error) is kind
    assert told in str(error)


def test_a_token_that_may_not_read_is_told_from_no_token() -> None:
    assert "no token was given" in str(refusal(401, "a/b", ENDPOINT))
    assert "the token may not read it" in str(refusal(401, "a/b", ENDPOINT, with_token=True))


def test_a_hub_that_nobody_answers_at_is_the_machines_trouble() -> None:
    with pytest.raises(EnvironmentBrokenError, match="cannot be reached"):
        weights.find("owner/name", environ={"HF_ENDPOINT": "http://127.0.0.1:9"})


def test_the_hubs_settings_are_those_of_huggingface_hub(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("kept\n")
    hub = Hub.from_environment({"HF_HOME": str(tmp_path), "HF_ENDPOINT": ENDPOINT + "/"})
    assert (hub.endpoint, hub.token, hub.cache, hub.offline) == (ENDPOINT, "kept", tmp_path / "hub", False)
    other = Hub.from_environment({"HF_HOME": str(tmp_path), "HF_TOKEN": "given", "HF_HUB_CACHE": "/cache"})
    assert (other.token, other.cache) == ("given", Path("/cache"))
    assert other.folder_of("a/b") == Path("/cache/models--a--b")


def test_offline_the_cache_alone_is_asked(tmp_path: Path) -> None:
    environ = {"HF_HUB_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1", "HF_ENDPOINT": "http://127.0.0.1:9"}
    with pytest.raises(UsageError, match="HF_HUB_OFFLINE is set"):
        weights.find("a/b", environ=environ)
    model = tmp_path / "models--a--b"
    checkpoint(model / "snapshots" / "c0ffee")
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text("c0ffee")
    found = weights.find("a/b", environ=environ)
    assert found is not None
    assert (found.weights.source, found.weights.digest, found.model_type) == ("hub", "c0ffee", "bert")
