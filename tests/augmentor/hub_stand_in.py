"""A small stand-in for the Hugging Face hub: one repository of models behind HTTP."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """Keeps what was uploaded in ``files``, and every request in ``asked``."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.made: list[dict[str, Any]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def hub() -> Iterator[Hub]:
    """A hub that answers until the block ends."""
    with Hub() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Answers(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        pass

    def _say(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _json(self, value: Any) -> None:
        self._say(json.dumps(value).encode(), Content_Type="application/json")

    def do_POST(self) -> None:
        path = self.path.partition("?")[0]
        self.server.asked.append(f"POST {path}")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if path == "/api/repos/create":
            self.server.made.append(json.loads(body))
            self._json({"url": f"{self.server.address}/me/digits"})
        elif path == "/api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif "/preupload/" in path:
            files = json.loads(body)["files"]
            modes = {"uploadMode": "regular", "shouldIgnore": False, "oid": None}
            self._json({"files": [{"path": file["path"], **modes} for file in files]})
        elif "/commit/" in path:
            for line in body.decode().splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    data = base64.b64decode(entry["value"]["content"])
                    self.server.files[entry["value"]["path"]] = data
            self._json(
                {
                    "commitUrl": f"{self.server.address}/me/digits/commit/{COMMIT}",
                    "commitOid": COMMIT,
                }
            )
        else:
            self._say(b"", 404)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.asked.append(f"{self.command} {path}")
        name = path.rpartition("/")[2]
        if "/resolve/" in path and name in self.server.files:
            data = self.server.files[name]
            tag = f'"{hashlib.sha1(data).hexdigest()}"'
            self._say(data, X_Repo_Commit=COMMIT, ETag=tag)
        elif "/tree/" in path:
            files = self.server.files.items()
            entries = []
            for file, data in files:
                oid = hashlib.sha1(data).hexdigest()
                entries.append({"type": "file", "path": file, "size": len(data), "oid": oid})
            self._json(entries)
        elif path.startswith("/api/models/"):
            siblings = [{"rfilename": file} for file in self.server.files]
            self._json(
                {"id": "me/digits", "modelId": "me/digits", "sha": COMMIT} | {"siblings": siblings}
            )
        else:
            self._say(b"", 404)
