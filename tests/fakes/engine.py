"""A Docker engine on a Unix socket that answers docker-py for real, and misbehaves on demand.

It keeps a list of images and of containers, and what it was asked. ``misbehave`` puts another answer in
the place of the right one, by a pattern of ``METHOD /path``.
"""

import json
import re
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

Answer = Callable[["Request"], None]


class Request(BaseHTTPRequestHandler):
    """One question to the fake, with the ways to answer it."""

    protocol_version = "HTTP/1.1"
    server: "_Server"

    def handle_any(self) -> None:
        parts = urlsplit(self.path)
        self.query = parse_qs(parts.query)
        self.route = f"{self.command} {unquote(re.sub(r'^/v[0-9.]+', '', parts.path))}"
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            self.body = b"".join(self._chunks())
        engine = self.server.engine
        engine.asked.append(self.route)
        for pattern, answer in engine.misbehaviour:
            if re.fullmatch(pattern, self.route):
                return answer(self)
        return engine.answer(self)

    do_GET = do_POST = do_DELETE = do_HEAD = handle_any  # noqa: N815

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def json(self, content: Any, status: int = 200) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def stream(self, *events: dict[str, Any], die: bool = False) -> None:
        """A stream of JSON; with ``die`` the connection ends in the middle of it."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for event in events:
            line = json.dumps(event).encode() + b"\r\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        if die:
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
        else:
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    engine: "FakeEngine"

    def handle_error(self, *_args: object) -> None:
        """A client that goes away is part of the play."""


class FakeEngine:
    """``with FakeEngine(folder) as engine``: an engine at ``engine.url``."""

    def __init__(self, folder: Path) -> None:
        self.url = f"unix://{folder / 'engine.sock'}"
        self.images: dict[str, str] = {}
        self.containers: dict[str, dict[str, Any]] = {}
        self.version: dict[str, Any] = {
            "ApiVersion": "1.41", "Os": "linux", "Components": [{"Name": "Engine", "Version": "20.10"}],
        }  # fmt: skip
        self.asked: list[str] = []
        self.misbehaviour: list[tuple[str, Answer]] = []
        self._server = _Server(str(folder / "engine.sock"), Request)
        self._server.engine = self

    def __enter__(self) -> "FakeEngine":
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def misbehave(self, pattern: str, answer: Answer) -> None:
        """Answer what matches ``METHOD /path`` like this from now on."""
        self.misbehaviour.append((pattern, answer))

    def times(self, pattern: str) -> int:
        """How often something was asked."""
        return sum(bool(re.fullmatch(pattern, route)) for route in self.asked)

    def answer(self, request: Request) -> None:
        """As an engine should."""
        if request.route == "GET /version":
            request.json(self.version)
        elif "/containers/" in request.route:
            self._answer_containers(request)
        else:
            self._answer_images(request)

    def _answer_images(self, request: Request) -> None:
        route = request.route
        if match := re.fullmatch("GET /images/(.*)/json", route):
            if match[1] in self.images or match[1] in self.images.values():
                request.json({"Id": self.images.get(match[1], match[1]), "RepoTags": [match[1]]})
            else:
                request.json({"message": f"no such image: {match[1]}"}, 404)
        elif route == "POST /build":
            tag = request.query["t"][0]
            self.images[tag] = f"sha256:{len(self.images):064x}"
            request.stream({"stream": "Step 1/1 : FROM x\n"}, {"stream": "Successfully built\n"})
        elif route == "POST /images/create":
            name = f"{request.query['fromImage'][0]}:{request.query['tag'][0]}"
            self.images[name] = f"sha256:{len(self.images):064x}"
            request.stream({"status": "Pulling", "id": "latest"}, {"status": "Pull complete", "id": "abc"})
        elif route == "POST /images/prune":
            request.json({"ImagesDeleted": None, "SpaceReclaimed": 0})
        else:
            request.json({"message": f"the fake does not know {route}"}, 501)

    def _answer_containers(self, request: Request) -> None:
        route = request.route
        if route == "GET /containers/json":
            request.json([{"Id": name} for name in self.containers])
        elif match := re.fullmatch("GET /containers/(.*)/json", route):
            request.json({"Id": match[1], "Name": f"/{match[1]}", **self.containers[match[1]]})
        elif match := re.fullmatch("POST /containers/(.*)/stop", route):
            request.json({}, 304)
        elif match := re.fullmatch("DELETE /containers/(.*)", route):
            self.containers.pop(match[1], None)
            request.json({})
        else:
            request.json({"message": f"the fake does not know {route}"}, 501)


# --- ways to misbehave ---------------------------------------------------------------------------------


def complain(message: str, status: int = 500) -> Answer:
    """An error in the engine's own form."""
    return lambda request: request.json({"message": message}, status)


def babble(request: Request) -> None:
    """An answer that is no JSON, as a proxy in between gives."""
    request.send_response(200)
    request.send_header("Content-Length", "21")
    request.end_headers()
    request.wfile.write(b"<html>Sign in</html>\r\n"[:21])


def hang(seconds: float) -> Answer:
    """No answer for so long."""

    def answer(request: Request) -> None:
        time.sleep(seconds)
        request.close_connection = True

    return answer


def die_in_the_middle(*events: dict[str, Any]) -> Answer:
    """Some events, and then no connection."""
    return lambda request: request.stream(*events, die=True)


def say(*events: dict[str, Any]) -> Answer:
    """These events, and a proper end."""
    return lambda request: request.stream(*events)
