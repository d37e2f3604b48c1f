"""MLflow's UI on a Unix socket of a Jupyter server, and the page that stands there while it starts.

MLflow takes many seconds to start. The page answers at once, and loads itself again until MLflow is there: then MLflow's own
socket takes the place of the page's. If MLflow cannot start, the page shows its last words, and the next visit tries again.

Run by jupyter-server-proxy as ``python -m boostlab.tracking.ui_start SOCKET``.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from typing import IO, Any

from boostlab.display.html import render_html

POLL_S = 0.1
MOST_LINES = 20  # of MLflow's last words


class _Page(BaseHTTPRequestHandler):
    server: _PageServer

    def do_GET(self) -> None:
        body = render_html("ui_start.html.j2", last_words=self.server.last_words).encode()
        self.send_response(503)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Retry-After", "1")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.server.visited.set()

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815  # as the base class names them

    def log_message(self, *_: Any) -> None:
        pass

    def address_string(self) -> str:
        return "unix"


class _PageServer(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True

    def __init__(self, path: str) -> None:
        super().__init__(path, _Page)
        self.last_words: str | None = None  # of MLflow, once it could not start
        self.visited = threading.Event()


def main() -> None:
    """Start MLflow's UI, and end with it."""
    (path,) = sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    page = _PageServer(path)
    threading.Thread(target=page.serve_forever, args=[POLL_S], daemon=True).start()
    while True:
        code = _run_mlflow(path, page)
        if code is not None:
            sys.exit(code)
        page.visited.clear()
        page.visited.wait()
        page.last_words = None


def _run_mlflow(path: str, page: _PageServer) -> int | None:
    """Run MLflow until it ends, and return its exit code; None if it never answered."""
    hidden = f"{path}.mlflow"
    options = ["--app-name=boostlab", f"--uvicorn-opts=--uds '{hidden}'", "--workers=1"]
    command = [sys.executable, "-P", "-m", "boostlab.cli", "ui", *options]
    words: deque[str] = deque(maxlen=MOST_LINES)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace") as process:
        try:
            threading.Thread(target=_pass_on, args=[process.stdout, words], daemon=True).start()
            while process.poll() is None:
                if _answers(hidden):
                    Path(hidden).rename(path)  # from now on, visitors reach MLflow
                    page.shutdown()
                    return process.wait()
                time.sleep(POLL_S)
        finally:
            process.terminate()
    page.last_words = "".join(words)
    return None


def _pass_on(output: IO[str], words: deque[str]) -> None:
    """Write MLflow's output to the Jupyter server's log, and keep the end of it."""
    for line in output:
        words.append(line)
        sys.stderr.write(line)


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


if __name__ == "__main__":
    main()
