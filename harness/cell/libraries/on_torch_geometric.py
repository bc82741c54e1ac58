"""torch-geometric: graph networks, saved and loaded through its mixin for the model hub."""

from pathlib import Path
from typing import Any

from torch_geometric.nn.model_hub import PyGModelHubMixin

from harness.cell.libraries import class_of, ready
from harness.cell.seeding import seed
from harness.cell.synthesis.checkpoint import SEED, Checkpoint
from harness.cell.synthesis.processors import Processors
from harness.records import Elsewhere

_NAMES = {"model_name": "tiny", "dataset_name": "synthetic"}


class Library:
    """How torch-geometric's types are made and saved."""

    def save(self, elsewhere: Elsewhere, folder: Path) -> Checkpoint:
        """A network of the class with the mixin, as the mixin's documentation says that its users write one."""
        component = elsewhere.components[elsewhere.model]
        own = _with_mixin(class_of(component))
        seed(SEED)
        model = ready(own(**_NAMES, model_kwargs=component.config))
        folder.mkdir(parents=True, exist_ok=True)
        model.save_pretrained(str(folder))
        return Checkpoint(folder, model, _Loader(own))

    def save_pipeline(self, elsewhere: Elsewhere, folder: Path) -> tuple[Checkpoint, Processors]:
        """Never asked for: the library has no pipelines, and its recipes say so."""
        raise NotImplementedError(elsewhere.no_pipeline)


class _Loader:
    """The mixin's ``from_pretrained``, with a report of its keys: strict, so a wrong one is an error and not in it."""

    def __init__(self, own: Any) -> None:
        self._own = own

    def from_pretrained(self, folder: Path, *, output_loading_info: bool) -> tuple[Any, dict[str, Any]]:  # noqa: ARG002 -- always asked for
        return self._own.from_pretrained(str(folder), **_NAMES, strict=True), {}


def _with_mixin(network: Any) -> Any:
    class Network(network, PyGModelHubMixin):  # type: ignore[misc]
        """A network that can be saved for the hub and loaded from it."""

        # **config: only a class that takes it is handed the values of config.json by huggingface_hub.
        def __init__(self, model_name: str, dataset_name: str, model_kwargs: dict[str, Any], **config: Any) -> None:
            values = {**config, **model_kwargs}
            values.pop("use_auth_token", None)  # the mixin hands its own argument on to the network
            network.__init__(self, **values)
            PyGModelHubMixin.__init__(self, model_name, dataset_name, values)

        @property
        def config(self) -> dict[str, Any]:
            return dict(self.model_config)

    Network.__name__ = Network.__qualname__ = network.__name__
    return Network
