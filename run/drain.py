"""A server that is told to end tells load balancers first: it goes on for a while, and is not ready.

`/health/ready` answers 503 while DRAIN_FILE exists.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Timer
from types import FrameType


def run(command: Sequence[str], environment: Mapping[str, str], seconds: float) -> int:
    """Passes SIGTERM on after `seconds`, and a second one at once. The answer is the server's exit status."""
    with TemporaryDirectory(prefix="drain-") as home:
        file = Path(environment.get("DRAIN_FILE") or Path(home) / "draining")
        file.unlink(missing_ok=True)
        server = subprocess.Popen(command, env={**environment, "DRAIN_FILE": str(file)})
        later = Timer(seconds, server.terminate)
        later.daemon = True

        def end(_number: int, _frame: FrameType | None) -> None:
            if file.exists():
                server.terminate()
            else:
                file.touch()
                later.start()

        signal.signal(signal.SIGTERM, end)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the server, too
        status = server.wait()
        file.unlink(missing_ok=True)
    return status if status >= 0 else 128 - status
