"""The model hub as the host side asks it: which commit a name means, and one small file of it.

The settings are those of huggingface_hub (``HF_ENDPOINT``, ``HF_HOME``, ``HF_TOKEN`` …). An outage is told apart from
a name that is wrong: the first is the machine's trouble, the second the user's to mend.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from harness.errors import EnvironmentBrokenError, UsageError

_DEFAULT_ENDPOINT: Final = "https://huggingface.co"
_SECONDS: Final = 20
TOO_MANY: Final = 429
_TRUE: Final = frozenset({"1", "ON", "YES", "TRUE"})
# Handed on to what downloads: how to get out of here, and how patient to be.
_HANDED_ON: Final = (
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
    "HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_ETAG_TIMEOUT", "HF_HUB_DISABLE_XET",
)  # fmt: skip


@dataclass(frozen=True)
class Hub:
    """A hub, and how this user reaches it."""

    endpoint: str
    token: str | None
    cache: Path
    """Where downloads are kept."""
    offline: bool
    """The user said so (``HF_HUB_OFFLINE``): only the cache is asked."""
    environ: Mapping[str, str]

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Hub":
        """As huggingface_hub reads it."""
        caches = environ.get("XDG_CACHE_HOME") or "~/.cache"
        home = Path(environ.get("HF_HOME") or f"{caches}/huggingface").expanduser()
        cache = environ.get("HF_HUB_CACHE") or environ.get("HUGGINGFACE_HUB_CACHE")
        token = environ.get("HF_TOKEN") or environ.get("HUGGING_FACE_HUB_TOKEN") or None
        file = Path(environ.get("HF_TOKEN_PATH") or home / "token").expanduser()
        if token is None and file.is_file():
            token = file.read_text(encoding="utf-8").strip() or None
        return cls(
            endpoint=(environ.get("HF_ENDPOINT") or _DEFAULT_ENDPOINT).rstrip("/"),
            token=token,
            cache=Path(cache).expanduser() if cache else home / "hub",
            offline=environ.get("HF_HUB_OFFLINE", "").upper() in _TRUE,
            environ=environ,
        )

    def folder_of(self, repository: str) -> Path:
        """Where the cache keeps this model."""
        return self.cache / f"models--{repository.replace('/', '--')}"

    def variables(self) -> dict[str, str]:
        """What a run must have in its environment to download from here."""
        handed = {name: self.environ[name] for name in _HANDED_ON if self.environ.get(name)}
        return {
            **handed,
            **({"HF_TOKEN": self.token} if self.token else {}),
            "HF_ENDPOINT": self.endpoint,
            "HF_HUB_CACHE": str(self.cache),
            "HF_HUB_OFFLINE": "1" if self.offline else "0",
        }

    def commit_of(self, repository: str, revision: str) -> str:
        """The commit that a branch, tag or commit means now."""
        if self.offline:
            reference = self.folder_of(repository) / "refs" / revision
            if reference.is_file():
                return reference.read_text(encoding="ascii").strip()
            if (self.folder_of(repository) / "snapshots" / revision).is_dir():
                return revision
            raise UsageError(f"--weights: {repository}@{revision} is not in {self.cache}, and HF_HUB_OFFLINE is set")
        content = self._get(repository, f"api/models/{repository}/revision/{revision}")
        try:
            return str(json.loads(content)["sha"])
        except (ValueError, KeyError, TypeError):
            raise EnvironmentBrokenError(
                f"{self.endpoint} answers with something else than a model hub's word on {repository}"
            ) from None

    def file(self, repository: str, commit: str, name: str) -> bytes:
        """A small file of that commit."""
        kept = self.folder_of(repository) / "snapshots" / commit / name
        if kept.is_file():
            return kept.read_bytes()
        if self.offline:
            raise UsageError(f"--weights: {repository}: no {name} in {kept.parent}, and HF_HUB_OFFLINE is set")
        return self._get(repository, f"{repository}/resolve/{commit}/{name}", file=name)

    def _get(self, repository: str, path: str, file: str | None = None) -> bytes:
        import requests

        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        try:
            answer = requests.get(f"{self.endpoint}/{path}", headers=headers, timeout=_SECONDS)
        except requests.RequestException as error:
            raise EnvironmentBrokenError(f"the hub {self.endpoint} cannot be reached: {error}") from error
        if answer.ok:
            return answer.content
        headers_: Any = answer.headers
        raise refusal(
            answer.status_code, repository, self.endpoint, code=headers_.get("X-Error-Code"), file=file,
            wait=headers_.get("Retry-After"), with_token=self.token is not None,
        )  # fmt: skip


def refusal(
    status: int,
    repository: str,
    endpoint: str,
    *,
    code: str | None = None,
    file: str | None = None,
    wait: str | None = None,
    with_token: bool = False,
) -> UsageError | EnvironmentBrokenError:
    """What a hub's answer means: the user's to mend, or the hub's own trouble."""
    token = (
        "the token may not read it" if with_token else "no token was given: set HF_TOKEN, or log in with hf auth login"
    )
    page = f"{endpoint}/{repository}"
    if status == TOO_MANY:
        later = f"; it says to wait {wait} s" if wait else ""
        return EnvironmentBrokenError(
            f"the hub {endpoint} has had too many requests (429){later}",
            hint="wait, or set HF_TOKEN for a higher limit",
        )
    if status >= 500:
        return EnvironmentBrokenError(f"the hub {endpoint} is out of order ({status})", hint="try again later")
    if code == "GatedRepo" or status == 403:
        return UsageError(f"--weights: {repository} is gated ({status}); {token}", hint=f"accept its terms at {page}")
    if code == "RevisionNotFound":
        return UsageError(f"--weights: {repository} has no such revision")
    if code == "EntryNotFound" and file:
        return UsageError(f"--weights: {repository}: no {file} in it: not a checkpoint of transformers")
    if status in (401, 404):
        told = f"{repository} does not exist at {endpoint}, or is private or gated ({status})"
        return UsageError(f"--weights: {told}; {token}", hint="is it the name of a folder that is not here?")
    return UsageError(f"--weights: the hub {endpoint} refuses {repository} ({status})")
