"""Load of an upgrade: requests and uploads without a pause, until a file exists. Prints what was lost.

It runs with the standard library alone, inside of the container of boot_systemd: `load.py STOP TOKEN REPORT`.
"""

from __future__ import annotations

import io
import json
import sys
import threading
import time
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

URL = "http://127.0.0.1:8000"
SYMBOLICATION = {
    "memoryMap": [["libone.so", "A0000000000000000000000000000000A0"]],
    "stacks": [[[0, 4096]]],
}
BOUNDARY = "load"
PAUSE = 0.02  # seconds; the machine does other things, too


def send(request: urllib.request.Request) -> bytes:
    with urllib.request.urlopen(request, timeout=60) as reply:
        content: bytes = reply.read()
    return content


def symbolicate(_number: int, _token: str) -> None:
    answer = send(urllib.request.Request(f"{URL}/symbolicate/v5", json.dumps(SYMBOLICATION).encode()))
    assert b"one()" in answer, answer


def upload(number: int, token: str) -> None:
    """Send an archive that a worker stores."""
    debug_id = f"{number:032X}0"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        text = f"MODULE Linux x86_64 {debug_id} libload.so\nFUNC 1000 40 0 load()\n1000 10 11 0\n"
        archive.writestr(f"libload.so/{debug_id}/libload.so.sym", text)
    body = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="a.zip"; filename="a.zip"\r\n\r\n'.encode()
        + packed.getvalue()
        + f"\r\n--{BOUNDARY}--\r\n".encode()
    )
    headers = {"Auth-Token": token, "Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    send(urllib.request.Request(f"{URL}/upload/?async=1", body, headers))


class Counted:
    """Repeated work, with the numbers of what succeeded and failed, and the longest wait."""

    def __init__(self, work: Callable[[int, str], None], stop: Path, token: str) -> None:
        self.served, self.errors, self.longest = 0, list[str](), 0.0
        self._work, self._stop, self._token = work, stop, token
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        number = 0
        while not self._stop.exists():
            number += 1
            began = time.monotonic()
            try:
                self._work(number, self._token)
                self.served += 1
            except (OSError, URLError, AssertionError) as error:
                self.errors.append(repr(error)[:200])
            self.longest = max(self.longest, time.monotonic() - began)
            time.sleep(PAUSE)


def main() -> None:
    stop, token, report = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    parts = {"requests": Counted(symbolicate, stop, token), "uploads": Counted(upload, stop, token)}
    for part in parts.values():
        part.thread.join()
    lines = [
        f"{name}: {part.served} served, {len(part.errors)} failed, longest {part.longest:.1f} s"
        f" {part.errors[:3] or ''}"
        for name, part in parts.items()
    ]
    report.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
