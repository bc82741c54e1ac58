"""Which build of torch is taken: PyTorch's CPU wheels where their index answers, else PyPI's, said loudly."""

import threading
from collections.abc import Callable
from typing import Final

from harness.matrix import TorchBuild
from harness.terminal import say_loudly

PROBE_SECONDS: Final = 5.0


def choose_torch_build(
    wanted: TorchBuild,
    index: str,
    is_built: Callable[[TorchBuild], bool],
    answers: Callable[[str], bool] | None = None,
) -> TorchBuild:
    """The wanted build if it is built already or can be downloaded, else PyPI's.

    What is built is not asked about again: with nothing to download no index need be reached, and a run
    does not change its torch because a network came or went.
    """
    if wanted == "pypi" or is_built("cpu"):
        return wanted
    if is_built("pypi"):
        say_loudly(
            f"torch is PyPI's build, which was installed when {index} did not answer. Results say torch build 'pypi'."
        )
        return "pypi"
    if (answers or index_answers)(index):
        return "cpu"
    say_loudly(
        f"{index} does not answer: taking PyPI's build of torch instead of the CPU wheels (it is larger, and"
        " works on a CPU). Results say torch build 'pypi'. Another index: MATRIX_TORCH_INDEX."
    )
    return "pypi"


def index_answers(index: str) -> bool:
    """Whether torch's page can be had from this index within a few seconds."""
    result: list[bool] = []

    def ask() -> None:
        import requests

        try:
            page = requests.get(f"{index.rstrip('/')}/torch/", timeout=PROBE_SECONDS, stream=True)
        except requests.RequestException:
            return
        with page:
            result.append(page.ok)

    # In a thread, since looking up a name knows no time limit.
    asker = threading.Thread(target=ask, daemon=True)
    asker.start()
    asker.join(PROBE_SECONDS)
    return result == [True]
