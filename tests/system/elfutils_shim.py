"""A site under the command line of elfutils' `debuginfod`, for scripts that start that program.

`python -m tests.system.elfutils_shim -F -p PORT DIRECTORY...` starts a site, uploads the files of the
directories and relays PORT to the site. SIGUSR1 uploads them again, as it has elfutils' server scan them
again. Source files are uploaded with the programs that name them.

Scripts wait for figures of `/metrics`, which they read as elfutils' server writes it. This program answers
it, and counts its own scans and the responses that it relays. Nothing else is answered here or changed on the
way. Scripts also look for threads of elfutils' server by name, in the output of ps: it has idle ones.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread
from urllib.parse import urlsplit

import httpx

from tests.system.site import ROOT, Site

# elfutils' server has no tokens, and its tests have packages of zeros.
OPTIONS = {"source_code_public": True, "upload_max_ratio": 2000}
THREADS = ("scan", "groom", "traverse")
PR_SET_NAME = 15
NOTHING_TO_UPLOAD = 2
ENDS_WITHIN = 120.0
# Site and relay have different connections, so headers about them are not copied.
OF_CONNECTION = frozenset({"connection", "keep-alive", "transfer-encoding", "date", "server"})


def main() -> None:
    options = parse_options(sys.argv[1:])
    events: SimpleQueue[int] = SimpleQueue()
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda caught, _frame: events.put(caught))
    # The variables are those of the clients of the script.
    for name in ("DEBUGINFOD_URLS", "LD_LIBRARY_PATH", "DEBUGINFOD_CACHE_PATH"):
        os.environ.pop(name, None)
    for name in THREADS:
        Thread(target=stay_idle, args=(name,), daemon=True).start()
    with (
        Relay(options.port) as relay,
        tempfile.TemporaryDirectory(prefix="tecken-") as home,
        Site(Path(home), OPTIONS, SYMBOL_SOURCES="") as site,
    ):
        shim = Shim(site, options)
        relay.site, relay.shim = site, shim
        shim.scan()
        relay.opened.set()
        while (caught := events.get()) in (signal.SIGUSR1, signal.SIGUSR2):
            # Scripts wait for few seconds. Meanwhile their requests wait here.
            relay.opened.clear()
            shim.scan() if caught == signal.SIGUSR1 else shim.groom()
            relay.opened.set()


def stay_idle(name: str) -> None:
    """Give this thread a name of the kernel's, and keep it."""
    ctypes.CDLL(None).prctl(PR_SET_NAME, name.encode())
    Event().wait()


def parse_options(arguments: list[str]) -> argparse.Namespace:
    """Return what to upload. Options that tune elfutils' server have no effect."""
    parser = argparse.ArgumentParser()
    for name in "FRUL":
        parser.add_argument(f"-{name}", action="store_true")
    parser.add_argument("-v", action="count")
    parser.add_argument("-Z", action="append", default=[])
    parser.add_argument("-p", dest="port", type=int, required=True)
    for name in ("d", "t", "g"):
        parser.add_argument(f"-{name}")
    parser.add_argument("-C", nargs="?")
    parser.add_argument("directories", nargs="*", type=Path)
    known, others = parser.parse_known_intermixed_args(arguments)
    print("without effect:", shlex.join(others), flush=True)
    return known


class Shim:
    """Uploads of a site, and the figures about them."""

    def __init__(self, site: Site, options: argparse.Namespace) -> None:
        self._site = site
        self._options = options
        self._token = site.manage(
            "createtoken", "ci@example.com", "--permission", "upload.upload_symbols", "--create-user"
        ).strip()
        self._archives = {".rpm": "", ".deb": "", ".ddeb": ""} if options.R or options.U else {}
        for rule in options.Z:
            suffix, _, command = rule.partition("=")
            self._archives[f".{suffix.lstrip('.')}"] = command
        self._scanned: dict[str, set[Path]] = {suffix: set() for suffix in self._archives}
        self.scans = self.grooms = 0

    def scan(self) -> None:
        """Upload the files of the directories."""
        directories = [path for path in self._options.directories if path.is_dir()]
        if self._options.F and directories:
            self._send_programs(directories)
        for suffix, command in self._archives.items():
            for path in sorted(file for directory in directories for file in directory.rglob(f"*{suffix}")):
                self._send_archive(path, command)
                self._scanned[suffix].add(path)
        self.scans += 1

    def groom(self) -> None:
        """Count a cleanup: a site keeps what was uploaded."""
        self.grooms += 1

    def _send_programs(self, directories: list[Path]) -> None:
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "TECKEN_URL": self._site.url,
            "TECKEN_TOKEN": self._token,
        }
        command = (sys.executable, "-m", "tecken.client", "--sources", "/", *map(str, directories))
        ended = subprocess.run(command, env=environment, timeout=ENDS_WITHIN, check=False)
        if ended.returncode not in (0, NOTHING_TO_UPLOAD):
            raise SystemExit(f"tecken-upload ended with {ended.returncode}")

    def _send_archive(self, path: Path, command: str) -> None:
        """Send an archive, or the output of the command of an option -Z for it."""
        content = path.read_bytes()
        name = path.name
        if command:
            content = subprocess.run(
                shlex.split(command), input=content, capture_output=True, check=True
            ).stdout
            name = path.stem
        reply = httpx.post(
            f"{self._site.url}/upload/",
            files={name: (name, content)},
            headers={"Auth-Token": self._token},
            timeout=ENDS_WITHIN,
        )
        print(f"sent {path}: {reply.status_code} {reply.text}", flush=True)

    def metrics(self, responses: Counter[tuple[int, str]]) -> str:
        """Return the figures that scripts wait for, in the words of elfutils' server."""
        figures = {
            "ready": 1,
            'thread_work_total{role="traverse"}': self.scans,
            # The first one follows the first scan.
            'thread_work_total{role="groom"}': self.grooms + min(self.scans, 1),
            'thread_work_pending{role="scan"}': 0,
            'thread_busy{role="scan"}': 0,
        }
        for suffix, paths in self._scanned.items():
            figures[f'scanned_files_total{{source="{suffix} archive"}}'] = len(paths)
        for (status, kind), count in responses.items():
            name = f'http_responses_transfer_bytes_count{{code="{status}",type="{kind}"}}'
            figures[name] = count
        return "".join(f"{name} {value}\n" for name, value in figures.items())


class Server(ThreadingHTTPServer):
    """Listener that accepts connections before the site has started."""

    request_queue_size = 256
    daemon_threads = True


class Relay:
    """The port that scripts know. Requests wait until `opened` is set, and `site` and `shim` before that."""

    site: Site
    shim: Shim

    def __init__(self, port: int) -> None:
        self.opened = Event()
        self.responses: Counter[tuple[int, str]] = Counter()
        relay = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                relay.answer(self)

        self._server = Server(("127.0.0.1", port), Handler)
        self._thread = Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Relay:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer `/metrics`, and relay everything else."""
        self.opened.wait()
        if handler.path == "/metrics":
            send(handler, 200, [("Content-Type", "text/plain")], self.shim.metrics(self.responses).encode())
            return
        address = urlsplit(self.site.url)
        connection = HTTPConnection(address.hostname or "", address.port, timeout=ENDS_WITHIN)
        headers = {name: value for name, value in handler.headers.items() if name.lower() != "connection"}
        connection.request("GET", handler.path, headers=headers)
        reply = connection.getresponse()
        body = reply.read()
        connection.close()
        kind = (handler.path.split("/")[3:4] or [""])[0]
        self.responses[reply.status, kind] += 1
        print(f"GET {handler.path} {reply.status}", flush=True)
        send(handler, reply.status, reply.getheaders(), body)


def send(
    handler: BaseHTTPRequestHandler, status: int, headers: Iterable[tuple[str, str]], body: bytes
) -> None:
    handler.send_response_only(status)
    copied = [(name, value) for name, value in headers if name.lower() not in OF_CONNECTION]
    for name, value in copied:
        handler.send_header(name, value)
    if not any(name.lower() == "content-length" for name, _ in copied):
        handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


if __name__ == "__main__":
    main()
