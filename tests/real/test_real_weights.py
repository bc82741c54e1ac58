"""Real checkpoints, made here: from a folder, and from a small hub on loopback that answers well and badly."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.hub import COMMIT, FakeHub, Fault, serving
from harness import ROOT, weights
from harness.configuration import load_configuration
from harness.errors import EnvironmentBrokenError, UsageError
from harness.plan import make_plan
from harness.records import Api, Cell, Plan, Weights
from harness.results import METRICS_FILE
from harness.selection import Selection
from harness.stream import read_results

pytestmark = pytest.mark.models

SHARD = "cpu/current/1of1"
WORDS = ("the", "cat", "dog", "sat", "on", "old", "mat", ".")
# In a process of its own: huggingface_hub reads its settings when it is imported.
FETCH = """
import json, os, sys
from harness.errors import HarnessError
from harness.fetch import ready
from harness.records import Weights
try:
    place = ready(Weights.model_validate_json(sys.argv[1]), None)
    told = ["ready", str(place), sorted(path.name for path in place.iterdir())]
except HarnessError as error:
    told = [type(error).__name__, str(error), []]
from huggingface_hub import constants
print(json.dumps([*told, constants.HF_HUB_OFFLINE, "HF_TOKEN" in os.environ]))
"""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT with a tokenizer, as its owner would save it."""
    import torch
    import transformers

    folder = tmp_path_factory.mktemp("checkpoint")
    vocabulary = {word: number for number, word in enumerate(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS))}
    config = transformers.BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
    )
    torch.manual_seed(1)
    transformers.BertForMaskedLM(config).save_pretrained(folder)
    transformers.BertTokenizer(vocab=vocabulary).save_pretrained(folder)
    return folder


@pytest.fixture
def hub(checkpoint: Path) -> Iterator[FakeHub]:
    with serving(FakeHub(checkpoint)) as one:
        yield one


def planned(name: str, environ: dict[str, str] | None = None, apis: tuple[Api, ...] = ("from_pretrained",)) -> Plan:
    configuration = load_configuration()
    found = weights.find(name, environ=environ or {})
    selection = Selection(weights=name)
    plan = make_plan(configuration.matrix, configuration.catalog, selection, backends=("cpu",), found=found)
    return plan.model_copy(update={"apis": apis})


def measured(folder: Path, plan: Plan, **environ: str) -> tuple[int, dict[str, Cell]]:
    folder.mkdir(exist_ok=True)
    (folder / "plan.json").write_text(plan.to_json())
    words = ["run", "--plan", str(folder / "plan.json"), "--shard", SHARD, "--out", str(folder), "--jobs", "2"]
    done = subprocess.run([sys.executable, "-m", "harness", *words], cwd=ROOT, env=os.environ | environ, check=False)
    return done.returncode, {cell.api: cell for cell in read_results(folder / "results.jsonl").cells}


def test_a_folder_runs_through_both_apis_with_its_own_tokenizer(checkpoint: Path, tmp_path: Path) -> None:
    code, cells = measured(tmp_path, planned(str(checkpoint), apis=("from_pretrained", "pipeline")))
    assert code == 0
    assert {api: cell.outcome for api, cell in cells.items()} == {"from_pretrained": "passed", "pipeline": "passed"}
    direct, pipeline = cells["from_pretrained"], cells["pipeline"]
    assert direct.task == pipeline.task == "fill-mask"
    assert direct.proof is not None and pipeline.proof is not None  # noqa: PT018
    assert direct.proof.synthesis == "default, processor"
    assert pipeline.proof.processors == {"tokenizer": "BertTokenizer"}
    assert pipeline.proof.stand_ins == {}
    assert direct.proof.weights_sha256 == pipeline.proof.weights_sha256
    assert direct.comparison is not None
    assert direct.comparison.max_relative == 0
    assert direct.comparison.effects["text"] > 1e-6
    assert direct.metrics.batch == 8
    assert f" --weights {checkpoint} " in direct.reproduce
    header = read_results(tmp_path / "results.jsonl").header
    assert header is not None and header.weights is not None  # noqa: PT018
    assert header.weights.digest == weights.folder_digest(checkpoint)
    assert json.loads((tmp_path / METRICS_FILE).read_text())["note"] == f"real weights: {checkpoint}"


def test_a_checkpoint_that_lacks_what_its_class_needs_is_a_mismatch(checkpoint: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "short"
    folder.mkdir()
    for path in checkpoint.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    tensors = load_file(folder / "model.safetensors")
    lost = next(name for name in tensors if "layer.1.attention.self.query.weight" in name)
    del tensors[lost]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    _, cells = measured(tmp_path / "out", planned(str(folder)))
    assert cells["from_pretrained"].outcome == "mismatch"
    assert "missing keys" in cells["from_pretrained"].reason


# --- the hub ------------------------------------------------------------------------------------------


def environ_of(hub: FakeHub, home: Path, **more: str) -> dict[str, str]:
    return {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(home), "HF_HUB_ETAG_TIMEOUT": "5", **more}


def fetched(hub: FakeHub, home: Path, **more: str) -> tuple[str, str, list[str], bool, bool]:
    """How it went, what was said, the files, whether the process is offline, whether it still has a token."""
    wanted = Weights(name=hub.repository, source="hub", digest=COMMIT)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    done = subprocess.run(
        [sys.executable, "-c", FETCH, wanted.to_json()],
        cwd=ROOT, env=environ | environ_of(hub, home, **more), capture_output=True, text=True, check=True,
    )  # fmt: skip
    went, said, files, offline, has_token = json.loads(done.stdout.splitlines()[-1])
    return went, said, files, offline, has_token


def test_an_id_is_planned_by_its_commit_downloaded_once_and_run_offline(hub: FakeHub, tmp_path: Path) -> None:
    environ = environ_of(hub, tmp_path / "home")
    plan = planned("owner/name", environ)
    assert plan.weights == Weights(name="owner/name", source="hub", digest=COMMIT)
    code, cells = measured(tmp_path / "out", plan, **environ, HF_HUB_OFFLINE="0")
    assert code == 0
    assert cells["from_pretrained"].outcome == "passed"
    downloads = [one for one in hub.asked if one.startswith("GET") and one.endswith("model.safetensors")]
    assert len(downloads) == 1
    hub.asked.clear()
    assert fetched(hub, tmp_path / "home")[0] == "ready"
    assert not [one for one in hub.asked if one.startswith("GET") and "resolve" in one]  # it is in the cache


def test_the_token_is_used_for_the_download_and_gone_afterwards(hub: FakeHub, tmp_path: Path) -> None:
    hub.token = "hf_right"  # noqa: S105
    went, said, _, _, _ = fetched(hub, tmp_path)
    assert (went, "gated" in said) == ("UsageError", True)
    went, _, files, offline, has_token = fetched(hub, tmp_path, HF_TOKEN="hf_right")  # noqa: S106
    assert went == "ready"
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(files)
    assert (offline, has_token) == (True, False)
    with pytest.raises(UsageError, match="gated"):
        weights.find("owner/name", environ=environ_of(hub, tmp_path, HF_TOKEN="hf_wrong"))  # noqa: S106


def test_pickles_and_other_frameworks_are_left_where_they_are(hub: FakeHub, checkpoint: Path, tmp_path: Path) -> None:
    mine = tmp_path / "repository"
    mine.mkdir()
    for path in checkpoint.iterdir():
        (mine / path.name).write_bytes(path.read_bytes())
    for name in ("pytorch_model.bin", "tf_model.h5", "model.onnx"):
        (mine / name).write_bytes(b"not wanted")
    hub.folder = mine
    _, _, files, _, _ = fetched(hub, tmp_path / "home")
    assert "model.safetensors" in files
    assert not {"pytorch_model.bin", "tf_model.h5", "model.onnx"} & set(files)


@pytest.mark.parametrize(
    ("fault", "kind", "told"),
    [
        (Fault("", 429), "EnvironmentBrokenError", "too many requests"),
        (Fault("", 503), "EnvironmentBrokenError", "out of order"),
        (Fault("", 404, "RepoNotFound"), "UsageError", "does not exist"),
        (Fault("", 403, "GatedRepo"), "UsageError", "gated"),
        (Fault("model.safetensors", 503), "EnvironmentBrokenError", "out of order"),
        (Fault("model.safetensors", cut=True), "EnvironmentBrokenError", "cannot be downloaded"),
        (Fault("model.safetensors", damaged=True), "EnvironmentBrokenError", "came damaged"),
    ],
)
def test_what_goes_wrong_while_downloading_is_told_apart(
    hub: FakeHub, tmp_path: Path, fault: Fault, kind: str, told: str
) -> None:
    hub.faults.append(fault)
    went, said, _, offline, _ = fetched(hub, tmp_path)
    assert (went, offline) == (kind, True)
    assert told in said
    hub.faults.clear()
    assert fetched(hub, tmp_path)[0] == "ready"  # nothing bad was kept


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault("", 429), EnvironmentBrokenError),
        (Fault("", 502), EnvironmentBrokenError),
        (Fault("", 401, "RepoNotFound"), UsageError),
        (Fault("config.json", 404, "EntryNotFound"), UsageError),
    ],
)
def test_what_goes_wrong_while_planning_is_told_apart(
    hub: FakeHub, tmp_path: Path, fault: Fault, kind: type[Exception]
) -> None:
    hub.faults.append(fault)
    with pytest.raises(kind):
        weights.find("owner/name", environ=environ_of(hub, tmp_path))


def test_a_revision_is_asked_for_by_name(hub: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such revision"):
        weights.find("owner/name@v2", environ=environ_of(hub, tmp_path))
    found = weights.find(f"owner/name@{COMMIT}", environ=environ_of(hub, tmp_path))
    assert found is not None
    assert found.weights.repository == "owner/name"


def test_a_hub_that_went_away_leaves_cells_that_blame_the_machine(checkpoint: Path, tmp_path: Path) -> None:
    with serving(FakeHub(checkpoint)) as gone:
        environ = environ_of(gone, tmp_path / "home")
        plan = planned("owner/name", environ)
    code, cells = measured(tmp_path / "out", plan, **environ, HF_HUB_OFFLINE="0")
    assert code == 3
    assert cells["from_pretrained"].outcome == "environment"
    assert gone.endpoint in cells["from_pretrained"].reason
    footer = read_results(tmp_path / "out" / "results.jsonl").footer
    assert footer is not None
    assert footer.void is None
