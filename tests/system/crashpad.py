"""Crashpad's handler, which comes with Chromium, and its database of crash reports.

Sources: Crashpad's client/settings.cc and client/crash_report_database_generic.cc. The handler writes dumps
into `new`, moves them into `pending`, and into `completed` after it has sent them, or has given up.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import tempfile
import time
import uuid
from pathlib import Path
from typing import Final

import pytest

from tests.support.sentinel import wait_until

CHROMIUM: Final = Path("/usr/lib/chromium/chromium")
HANDLER: Final = CHROMIUM.parent / "chrome_crashpad_handler"
# Magic number, version, options (1: uploads are enabled), padding, time of the last upload, id of the client.
SETTINGS: Final = struct.Struct("<4sIIIq16s")
CLIENT_ID: Final = uuid.UUID("0f3c9a52-c1d8-4e7b-b2d0-a2f6f6f3f7aa")
# Version, attempts, time of the last one, time of the crash, attributes. The id that the server has returned
# follows.
METADATA: Final = struct.Struct("<iiqqB7x")
ENDS_WITHIN: Final = 120.0  # seconds, on a busy machine


class CrashpadDatabase:
    """Crash reports of a program, whose uploads are enabled."""

    def __init__(self, folder: Path) -> None:
        if not HANDLER.exists():
            pytest.skip("apt-get install chromium")
        self.folder = folder
        for name in ("new", "pending", "completed", "attachments"):
            (folder / name).mkdir(parents=True)
        settings = SETTINGS.pack(b"sdPC", 1, 1, 0, 0, CLIENT_ID.bytes_le)
        (folder / "settings.dat").write_bytes(settings)

    def add(self, content: bytes) -> None:
        """Add a dump that is to be sent."""
        path = self.folder / "pending" / f"{uuid.uuid4()}.dmp"
        path.with_suffix(".meta").write_bytes(METADATA.pack(1, 0, 0, int(time.time()), 0))
        path.write_bytes(content)

    def crash_chromium(self) -> None:
        """Have Chromium's own handler write the dump of a crash of the browser."""
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            command: list[str | Path] = [
                *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
                *("--enable-crash-reporter", f"--user-data-dir={profile}", "about:blank"),
            ]
            environment = {**os.environ, "BREAKPAD_DUMP_LOCATION": str(self.folder)}
            browser = subprocess.Popen(
                command, env=environment, stderr=subprocess.DEVNULL, start_new_session=True
            )
            try:
                # Its handler is there before it makes the profile.
                wait_until(lambda: Path(profile, "Default").exists(), ENDS_WITHIN, "Chromium has a profile")
                browser.send_signal(signal.SIGSEGV)
                wait_until(lambda: bool(self.reports("pending")), ENDS_WITHIN, "Crashpad has written a dump")
            finally:
                os.killpg(browser.pid, signal.SIGKILL)
                browser.wait()

    def upload(self, url: str, *arguments: str) -> str:
        """Have the handler send each pending dump, and return what it logs.

        It runs for as long as its client, which is this process, has its socket open.
        """
        ours, its = socket.socketpair()
        command: list[str | Path] = [
            *(HANDLER, f"--database={self.folder}", f"--url={url}", f"--initial-client-fd={its.fileno()}"),
            *("--no-rate-limit", *arguments),
        ]
        with tempfile.TemporaryFile("w+") as log:
            handler = subprocess.Popen(command, pass_fds=[its.fileno()], stderr=log)
            its.close()
            try:
                wait_until(lambda: not self.reports("pending"), ENDS_WITHIN, "no dump is pending")
                ours.close()
                handler.wait(ENDS_WITHIN)
            finally:
                # SIGTERM while it ends would leave it waiting for itself.
                handler.kill()
                handler.wait()
                ours.close()
            log.seek(0)
            return log.read()

    def request_upload(self) -> None:
        """Make the reports pending that were not sent, as CrashReportDatabase::RequestUpload() does."""
        for path, report_id in zip(self.reports("completed"), self.ids(), strict=True):
            if not report_id:
                for part in (path.with_suffix(".meta"), path):
                    part.rename(self.folder / "pending" / part.name)

    def reports(self, state: str) -> list[Path]:
        """Return the dumps that are `new`, `pending` or `completed`."""
        return sorted((self.folder / state).glob("*.dmp"))

    def ids(self) -> list[str]:
        """Return the server's ids of the completed dumps; those that were not sent have none."""
        metadata = [path.with_suffix(".meta").read_bytes() for path in self.reports("completed")]
        return [content[METADATA.size :].decode() for content in metadata]
