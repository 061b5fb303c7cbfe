"""The socket of the web server as a program. tests/deploy/boot_systemd serves requests with it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

from tecken.front.__main__ import inherit_socket
from tecken.settings import BASE_DIR

PRINT = (
    "from tecken.front.__main__ import inherit_socket as i; s = i(); print(s.family.name, s.getsockname()[1])"
)
# sd_listen_fds(3): the first socket is number 3, for the process that LISTEN_PID names.
START = 'exec 3<&%d; LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" -c "$1"'


def test_web_server_started_by_systemd_uses_its_socket() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        number = listener.fileno()
        command = ["/bin/bash", "-c", START % number, sys.executable, PRINT]
        done = subprocess.run(
            command, cwd=BASE_DIR, pass_fds=[number], capture_output=True, text=True, check=True
        )
        # With another family the connections would not have TCP_NODELAY.
        assert done.stdout.split() == ["AF_INET", str(listener.getsockname()[1])]


def test_web_server_of_another_process_than_systemd_names_has_no_socket() -> None:
    assert os.environ.get("LISTEN_PID") is None
    assert inherit_socket() is None
