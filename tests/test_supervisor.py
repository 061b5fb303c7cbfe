"""The supervisor of `make run`, with real processes."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.redis_server import free_port

ROOT = Path(__file__).parents[1]
ENDS_WITHIN = 60.0  # seconds, on a busy machine
STAYS = (
    "import signal, sys; print('up', flush=True); signal.sigwait({signal.SIGTERM}); print('down', flush=True)"
)
# SIGTERM must be blocked before the process tells that it is up.
WAITS = f"import signal; signal.pthread_sigmask(signal.SIG_BLOCK, {{signal.SIGTERM}}); {STAYS}"
SUPERVISE = """
import os, sys
from run import supervisor
supervisor.PAUSE_SECONDS = 0.01
def commands(texts, quiet):
    return [supervisor.Command(name, [sys.executable, "-c", text], os.environ, quiet) for name, text in texts]
sys.exit(supervisor.supervise(commands(%r, %r), commands(%r, False)))
"""
Texts = list[tuple[str, str]]


@contextmanager
def supervised(first: Texts, then: Texts, quiet: bool = False) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", SUPERVISE % (first, quiet, then)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=ENDS_WITHIN)


def read_until(process: subprocess.Popen[str], pattern: str, times: int = 1) -> list[str]:
    """Return the lines up to the one that matches for the last of `times`."""
    assert process.stdout
    lines = []
    for line in process.stdout:
        lines.append(line)
        times -= bool(re.search(pattern, line))
        if not times:
            return lines
    raise AssertionError(f"{pattern} not in {''.join(lines)}")


def test_supervisor_stopped_ends_first_commands_last() -> None:
    with supervised([("server", WAITS)], [("web", WAITS), ("worker", WAITS)]) as process:
        read_until(process, r"\| up$", times=3)
        process.send_signal(signal.SIGINT)
        downs = [line for line in process.communicate(timeout=ENDS_WITHIN)[0].splitlines() if "down" in line]
    assert process.returncode == 0
    assert len(downs) == 3
    assert " server " in downs[-1]


def test_supervisor_killed_process_restarts_it_and_prints_why() -> None:
    text = f"import os; print('pid', os.getpid(), flush=True); {WAITS}"
    with supervised([], [("web", text)]) as process:
        pid = int(read_until(process, r"\| up$")[0].split()[-1])
        os.kill(pid, signal.SIGKILL)
        lines = read_until(process, r"\| up$")
    assert "ended with SIGKILL: restarted, 1 restart in the last minute" in lines[0]


def test_supervisor_killed_process_frees_the_port_of_its_children() -> None:
    """Otherwise the next server could not start."""
    port = free_port()
    child = (
        "import socket, time; "
        f"server = socket.create_server(('127.0.0.1', {port})); print('up', flush=True); time.sleep(600)"
    )
    parent = (
        "import os, signal, subprocess, sys; "
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}], stdout=subprocess.PIPE); "
        "child.stdout.readline(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    with supervised([], [("web", parent)]) as process:
        output = process.communicate(timeout=ENDS_WITHIN)[0]
    assert "not restarted again after" in output
    socket.create_server(("127.0.0.1", port)).close()


def test_supervisor_process_that_always_ends_gives_up_with_its_status() -> None:
    with supervised([("server", WAITS)], [("web", "import sys; sys.exit(3)")]) as process:
        output = process.communicate(timeout=ENDS_WITHIN)[0]
    assert process.returncode == 3
    assert "ended with 3: restarted, 5 restarts in the last minute" in output
    assert "ended with 3: not restarted again after 5 restarts in a minute" in output


def test_supervisor_configuration_error_does_not_restart() -> None:
    text = f"import sys; print('wrong', flush=True); sys.exit({os.EX_CONFIG})"
    with supervised([], [("web", text)]) as process:
        output = process.communicate(timeout=ENDS_WITHIN)[0]
    assert process.returncode == os.EX_CONFIG
    assert output.count("wrong") == 1
    assert "the configuration must be fixed first" in output


def test_supervisor_quiet_process_that_fails_prints_its_last_lines() -> None:
    text = f"import sys; print('the append-only file is damaged', flush=True); sys.exit({os.EX_CONFIG})"
    with supervised([("server", text)], [], quiet=True) as process:
        output = process.communicate(timeout=ENDS_WITHIN)[0]
    assert "| the append-only file is damaged" in output


def test_supervisor_closed_output_stops_everything() -> None:
    loud = "while True: print('line', flush=True)"
    with supervised([], [("web", loud)]) as process:
        assert process.stdout
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(ENDS_WITHIN) == 0
        process.stdout = None
