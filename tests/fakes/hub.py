"""A small model hub on loopback, which speaks what huggingface_hub asks for, and misbehaves when told to.

Endpoints: the commit of a revision, the tree of a commit, and a file of it by HEAD and GET.
"""

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

COMMIT: Final = "c0ffee" + "0" * 34


@dataclass
class Fault:
    """How paths that contain ``where`` are answered, instead of rightly."""

    where: str
    status: int | None = None
    code: str | None = None
    """X-Error-Code."""
    cut: bool = False
    """Half of the body, and the connection ends."""
    damaged: bool = False
    """As many bytes, one of them another."""


@dataclass
class FakeHub:
    """One repository."""

    folder: Path
    repository: str = "owner/name"
    faults: list[Fault] = field(default_factory=list)
    token: str | None = None
    """The only one that may read, where there is one."""
    asked: list[str] = field(default_factory=list)
    endpoint: str = ""

    def content(self, name: str) -> bytes | None:
        path = self.folder / name
        return path.read_bytes() if path.is_file() else None

    def tree(self) -> list[dict[str, Any]]:
        return [
            {"type": "file", "path": path.name, "size": path.stat().st_size, "oid": _git_hash(path.read_bytes())}
            | (
                {"lfs": {"oid": _sha256(path.read_bytes()), "size": path.stat().st_size, "pointerSize": 130}}
                if _large(path.name)
                else {}
            )
            for path in sorted(self.folder.iterdir())
        ]

    def fault(self, path: str) -> Fault | None:
        return next((one for one in self.faults if one.where in path), None)


def _large(name: str) -> bool:
    return name.endswith((".safetensors", ".bin"))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: FakeHub

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the base class's name for it
        pass

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        hub = self.hub
        hub.asked.append(f"{self.command} {self.path}")
        given = self.headers.get("Authorization", "").removeprefix("Bearer ")
        fault = hub.fault(self.path) or Fault("")
        if fault.status is not None:
            self.reply(fault.status, {"X-Error-Code": fault.code or ""})
        elif hub.token is not None and given != hub.token:
            self.reply(401, {"X-Error-Code": "GatedRepo"})
        else:
            self.rightly(self.path.partition("?")[0], fault)

    def rightly(self, path: str, fault: Fault) -> None:
        hub = self.hub
        api, files = f"/api/models/{hub.repository}", f"/{hub.repository}/resolve/{COMMIT}/"
        if path in (f"{api}/revision/main", f"{api}/revision/{COMMIT}"):
            siblings = [{"rfilename": one["path"]} for one in hub.tree()]
            self.json({"id": hub.repository, "sha": COMMIT, "siblings": siblings})
        elif path.startswith(f"{api}/revision/"):
            self.reply(404, {"X-Error-Code": "RevisionNotFound"})
        elif path.startswith(f"{api}/tree/"):
            self.json(hub.tree())
        elif path.startswith(files):
            self.file(path.removeprefix(files), fault)
        else:
            self.reply(404, {"X-Error-Code": "RepoNotFound"})

    def file(self, name: str, fault: Fault) -> None:
        content = self.hub.content(name)
        if content is None:
            self.reply(404, {"X-Error-Code": "EntryNotFound"})
        else:
            etag = _sha256(content) if _large(name) else _git_hash(content)
            self.reply(200, {"X-Repo-Commit": COMMIT, "ETag": f'"{etag}"'}, content, fault)

    def json(self, value: Any) -> None:
        self.reply(200, {"Content-Type": "application/json"}, json.dumps(value).encode())

    def reply(self, status: int, headers: Mapping[str, str], content: bytes = b"", fault: Fault | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if value:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault is not None and fault.damaged:
            content = content[:-1] + bytes([content[-1] ^ 1])
        if fault is not None and fault.cut:
            content = content[: len(content) // 2]
            self.close_connection = True
        self.wfile.write(content)


@contextmanager
def serving(hub: FakeHub) -> Iterator[FakeHub]:
    """The hub at ``hub.endpoint``."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
