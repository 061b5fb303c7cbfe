"""Common part of the private servers of tests: a directory, a process, a port; how they pause and end."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

PAUSE = 0.02  # seconds between two looks at a server that starts


class PrivateServer:
    """Server on a port of its own on 127.0.0.1, with its data in `home`. A context manager.

    Subclasses define `start`, which sets `_process` and writes the file `log` in `home`, and `kill`.
    """

    def __init__(self, name: str, home: TemporaryDirectory[str], port: int) -> None:
        self._name = name
        self._home = home
        self._process: subprocess.Popen[bytes] | None = None
        self.port = port

    def start(self) -> Self:
        raise NotImplementedError

    def kill(self) -> None:
        raise NotImplementedError

    def pause(self) -> None:
        """Stop all answers. The kernel still accepts connections for the server."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """End the server at once and remove its data."""
        self.kill()
        self._home.cleanup()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _fail_if_ended(self, process: subprocess.Popen[bytes]) -> None:
        """Raise RuntimeError with the end of the log. Wait a moment, which is the pause between two looks."""
        try:
            process.wait(PAUSE)
        except subprocess.TimeoutExpired:
            return
        log = (Path(self._home.name) / "log").read_text(errors="replace")
        raise RuntimeError(f"{self._name} on port {self.port} ended:\n{log[-2000:]}")
