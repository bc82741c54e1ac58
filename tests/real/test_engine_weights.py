"""What a container is given for real weights: a folder to read, or one model of the hub's cache and the network."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from docker import DockerClient, from_env
from engine_probe import LIMITS, probe_image

from harness.engine import containers
from harness.engine.building import ensure_base
from harness.engine.runtime import Download, Ended, Job
from harness.matrix import load_matrix, with_overrides

pytestmark = pytest.mark.engine

PROGRAM = """
import json, os, pathlib, sys
def tried(action):
    try:
        return action()
    except OSError as error:
        return type(error).__name__ + ": " + str(error.strerror)
def files(folder):
    return sorted(str(path.relative_to(folder)) for path in pathlib.Path(folder).rglob("*") if path.is_file())
facts = {
    "words": sys.argv[1:],
    "interfaces": sorted(os.listdir("/sys/class/net")),
    "weights": files("/weights"),
    "config": tried(lambda: open("/weights/config.json").read()),
    "write weights": tried(lambda: open("/weights/config.json", "a") and "worked"),
    "hub": files("/hub"),
    "write hub": tried(lambda: open("/hub/models--a--b/new", "w") and "worked"),
    "settings": {name: value for name, value in os.environ.items() if name.startswith("HF_")},
}
json.dump(facts, open("/results/facts.json", "w"))
"""


@pytest.fixture(scope="module")
def client() -> Iterator[DockerClient]:
    client = from_env(timeout=120)
    yield client
    for image in client.images.list("model-matrix/probe"):
        client.images.remove(str(image.id), force=True)


@pytest.fixture(scope="module")
def image(client: DockerClient) -> str:
    base = ensure_base(client, with_overrides(load_matrix(), os.environ).backends["cpu"].base_image)
    return probe_image(client, base, "weights", PROGRAM)


def facts(client: DockerClient, image: str, folder: Path, **given: Any) -> dict[str, Any]:
    folder.mkdir()
    job = Job(shard="cpu/x/1of1", folder=folder, words=(), limits=LIMITS, **given)
    assert containers.run(client, image, job) == Ended(code=0)
    told: dict[str, Any] = json.loads((folder / "facts.json").read_text())
    return told


def test_a_folder_is_mounted_to_be_read_and_the_network_stays_shut(
    client: DockerClient, image: str, tmp_path: Path
) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "config.json").write_text("mine")
    (weights / "config.json").chmod(0o666)  # by its own mode anybody may write
    seen = facts(client, image, tmp_path / "out", weights=weights)
    assert seen["words"][-2:] == ["--weights", "/weights"]
    assert seen["config"] == "mine"
    assert "Read-only" in seen["write weights"]
    assert seen["interfaces"] == ["lo"]


def test_links_out_of_the_folder_are_followed(client: DockerClient, image: str, tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "abc").write_text("mine")
    (tmp_path / "blobs" / "abc").chmod(0o666)
    snapshot = tmp_path / "snapshots" / "1"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").symlink_to("../../blobs/abc")
    seen = facts(client, image, tmp_path / "out", weights=snapshot)
    assert (seen["weights"], seen["config"]) == (["config.json"], "mine")
    assert "Read-only" in seen["write weights"]


def test_for_a_download_the_network_is_open_and_one_model_of_the_cache_is_there(
    client: DockerClient, image: str, tmp_path: Path
) -> None:
    cache = tmp_path / "hub"
    for model in ("models--a--b", "models--c--d"):
        (cache / model).mkdir(parents=True)
        (cache / model / "kept").write_text("x")
    owner = (cache / "models--a--b" / "kept").stat().st_uid
    settings = {"HF_ENDPOINT": "http://hub.test", "HF_HUB_OFFLINE": "0", "HF_TOKEN": "hf_x"}
    download = Download(settings=settings, cache=cache, model=cache / "models--a--b")
    seen = facts(client, image, tmp_path / "out", download=download)
    assert len(seen["interfaces"]) > 1
    assert seen["hub"] == ["models--a--b/kept"]
    assert seen["write hub"] == "worked"
    assert seen["settings"] | settings | {"HF_HUB_CACHE": "/hub"} == seen["settings"]
    assert (cache / "models--a--b" / "new").exists()
    assert (cache / "models--a--b" / "new").stat().st_uid == owner  # it is the user's again
