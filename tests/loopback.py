"""A server on the loopback address that can misbehave in the ways that servers do."""

import http.server
import re
import threading
import time

import pytest


class LoopbackServer(http.server.ThreadingHTTPServer):
    """Serves `files` (path -> bytes); `faults` (path -> list of dicts) are used up, one a request.

    Faults: cut (bytes after which the connection is closed), status, html (a page with status 200),
    ignore_ranges,
    endless (as many bytes more than announced).
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list[dict]] = {}
        self.pause = 0.0  # seconds between blocks of 256 KiB
        self.log: list[tuple[str, str, int]] = []  # path, Range header, bytes of the answer

    def address(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{path}"

    def sent(self, path: str) -> int:
        return sum(n for p, _, n in self.log if p == path)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = self.path.split("?")[0].lstrip("/")
        waiting = self.server.faults.get(path, [])
        fault = waiting.pop(0) if waiting else {}
        content = self.server.files.get(path)
        if content is None or "status" in fault:
            self.send_error(fault.get("status", 404))
            self.server.log.append((path, self.headers.get("Range", ""), 0))
            return
        if fault.get("html"):
            content, kind = (
                b"<!DOCTYPE html><html><body>Too many requests</body></html>",
                "text/html; charset=utf-8",
            )
            start = 0
        else:
            kind = "application/zip"
            asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            start = int(asked[1]) if asked and not fault.get("ignore_ranges") else 0
        if start and start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            self.server.log.append((path, self.headers.get("Range", ""), 0))
            return
        body = content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Type", kind)
        if "endless" in fault:
            self.send_header("Connection", "close")  # no length: the client cannot know
            body = body + bytes(fault["endless"])
        else:
            self.send_header("Content-Length", str(len(body)))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        cut = fault.get("cut")
        body = body if cut is None else body[:cut]
        # before the bytes are: whoever has them all may look at once
        self.server.log.append((path, self.headers.get("Range", ""), len(body)))
        try:
            for begin in range(0, len(body), 1 << 18):
                self.wfile.write(body[begin : begin + (1 << 18)])
                time.sleep(self.server.pause)
        except (BrokenPipeError, ConnectionResetError):
            pass
        if cut is not None or "endless" in fault:
            self.close_connection = True

    def log_message(self, *arguments):
        """The test reads `server.log` instead."""


@pytest.fixture
def server(monkeypatch):
    """A running LoopbackServer; proxies of the machine are not asked."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with LoopbackServer() as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()
