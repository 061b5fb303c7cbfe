"""`make run` in a fresh checkout, as a newcomer starts it: by make, in a terminal."""

from __future__ import annotations

import hashlib
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import httpx
import pytest

from run import install
from tests.support.redis_server import free_port
from tests.system.site import ROOT

PARTS = (
    *("LICENSE", "Makefile", "manage.py", "pyproject.toml", "requirements-run.txt"),
    *("client", "docker/images", "run", "tecken"),
)
SAMPLES = ("tests/__init__.py", "tests/support", "tests/data")
ENDS_WITHIN = 60.0  # seconds, on a busy machine
GROUP = pytest.mark.xdist_group("run")  # these tests share a running checkout
LAST_LINE = r"Stop +Ctrl-C"
TIME = re.compile(r"\d\d:\d\d:\d\d")


def copied(home: Path) -> Path:
    """Return a checkout that counts as installed: its Python is the one of the tests."""
    for part in (*PARTS, *SAMPLES):
        (home / part).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, home / part)
    (home / "var").mkdir()
    venv = home / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (venv / "bin" / "python").chmod(0o755)
    (venv / "made-with").write_text(f"{install.BASE_PYTHON} {sys.version} in {home}")
    locked = (home / "requirements-run.txt").read_bytes()
    (venv / "installed-requirements-run.txt").write_text(hashlib.sha256(locked).hexdigest())
    return home


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return copied(tmp_path)


@pytest.fixture(scope="module")
def running_checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(tmp_path_factory.mktemp("checkout"))


class Terminal:
    """`make run` with a terminal of its own, which a person reads and writes."""

    def __init__(self, checkout: Path, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.text = ""
        self._process, self._terminal = pty.fork()
        if not self._process:
            os.chdir(checkout)
            # As in a person's shell. A background process ignores the signal, and so would make.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.execvpe("make", make("run", f"PORT={port}"), environment())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._process:
            self.close()
            self.end()

    def read_until(self, pattern: str) -> str:
        while not re.search(pattern, self.text):
            self.text += os.read(self._terminal, 65_536).decode().replace("\r", "")
        return self.text

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def close(self) -> None:
        if self._terminal >= 0:
            os.close(self._terminal)
            self._terminal = -1

    def end(self) -> int:
        """Wait for the end of make. Return its exit status, negative after a signal."""
        _pid, status = os.waitpid(self._process, 0)
        self._process = 0
        return os.waitstatus_to_exitcode(status)


def make(*words: str) -> list[str]:
    return ["make", f"PYTHON={sys.executable}", *words]


def environment() -> dict[str, str]:
    """Return the environment without settings of the tests' own site."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}


def run(checkout: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        make(*words),
        cwd=checkout,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=ENDS_WITHIN,
        check=False,
    )


def is_running(checkout: Path) -> bool:
    """Return whether a process of `make run` holds the checkout's lock."""
    code = "from run.checkout import claim\nwith claim() as free: print(not free)"
    return subprocess.check_output([sys.executable, "-c", code], cwd=checkout, text=True) == "True\n"


def log_in(url: str, password: str) -> int:
    """Return the status of the first page that only an account sees."""
    with httpx.Client(base_url=url, timeout=30, follow_redirects=True) as client:
        form = client.get("/login/").text
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form)
        assert token
        fields = {"username": "admin", "password": password, "csrfmiddlewaretoken": token[1]}
        client.post("/login/", data=fields, headers={"Referer": url})
        return client.get("/config/", follow_redirects=False).status_code


@pytest.fixture(scope="module")
def first(running_checkout: Path) -> Iterator[Terminal]:
    with Terminal(running_checkout, free_port()) as terminal:
        terminal.read_until(LAST_LINE)
        yield terminal


@GROUP
def test_first_start_shows_the_address_the_login_and_where_to_go(first: Terminal) -> None:
    box = re.findall(r"^  ([A-Z][a-z ]+?)  +(\S.*)$", first.text, re.MULTILINE)
    assert [title for title, _ in box] == ["Open", "Log in", "Upload", "Paste", "Log", "Stop"]
    assert box[0][1] == f"{first.url}/   (a guided tour)"
    assert "crash_cpp_price" in first.text


@GROUP
def test_first_start_prints_short_lines_with_one_time_and_nothing_alarming(
    first: Terminal, running_checkout: Path
) -> None:
    assert [line for line in first.text.splitlines() if len(TIME.findall(line)) > 1] == []
    assert not re.search(r"Traceback|WARNING|ERROR|\[v\d", first.text)
    log = (running_checkout / ".run" / "tecken.log").read_text()
    assert "Ready to accept connections" in log
    assert "Traceback" not in log


@GROUP
def test_passwords_of_the_first_start_and_of_make_admin_log_in(
    first: Terminal, running_checkout: Path
) -> None:
    password = re.search(r"admin / (\S+)", first.text)
    assert password
    assert log_in(first.url, password[1]) == 200
    done = run(running_checkout, "admin")
    assert done.returncode == 0, done.stderr
    assert log_in(first.url, done.stdout.split()[-1]) == 200
    assert log_in(first.url, password[1]) == 302


def test_make_admin_in_production_refuses(checkout: Path) -> None:
    (checkout / ".env").write_text("ENVIRONMENT=production\n")
    done = run(checkout, "admin")
    assert done.returncode == 2
    assert "manage.py createsuperuser" in done.stderr


def test_make_admin_without_a_database_names_the_next_step(checkout: Path) -> None:
    done = run(checkout, "admin")
    assert done.returncode == 2
    assert "make run prepares the database" in done.stderr
    assert "Traceback" not in done.stderr


@GROUP
def test_second_start_in_the_same_checkout_names_the_first(first: Terminal, running_checkout: Path) -> None:
    done = run(running_checkout, "run", f"PORT={free_port()}")
    assert done.returncode == 2
    assert f"Tecken runs in this checkout already: {first.url}" in done.stderr


def test_later_start_shows_no_password_and_ctrl_c_ends_it(checkout: Path) -> None:
    for text in (r"admin / \S+ +\(shown only now\)", "make admin sets a new password"):
        with Terminal(checkout, free_port()) as terminal:
            box = terminal.read_until(LAST_LINE)
            assert re.search(text, box)
            assert box.count("admin") == 1
            terminal.type("\x03")
            # make ends itself with the signal that the terminal sent to both.
            assert terminal.end() == -signal.SIGINT
        assert not is_running(checkout)


def test_stack_interrupted_exits_with_0(checkout: Path) -> None:
    command = [sys.executable, "-m", "run.stack"]
    variables = {**environment(), "PORT": str(free_port())}
    with subprocess.Popen(command, cwd=checkout, env=variables, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for line in process.stdout:
            if re.search(LAST_LINE, line):
                process.send_signal(signal.SIGINT)
        assert process.wait(ENDS_WITHIN) == 0
    assert not is_running(checkout)


def test_closed_terminal_ends_everything(checkout: Path) -> None:
    with Terminal(checkout, free_port()) as terminal:
        terminal.read_until(LAST_LINE)
        terminal.close()
        terminal.end()
        wait_for_lock = f"import fcntl; fcntl.flock(open({str(checkout / '.run' / 'lock')!r}), fcntl.LOCK_EX)"
        ended = subprocess.run([sys.executable, "-c", wait_for_lock], timeout=ENDS_WITHIN, check=False)
    assert ended.returncode == 0


def test_reader_that_has_read_enough_ends_everything(checkout: Path) -> None:
    command = f"make PYTHON={sys.executable} run PORT={free_port()} | head -n 1"
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=checkout,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=ENDS_WITHIN,
        check=False,
    )
    assert done.stdout.startswith("Starting ")
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr
    assert not is_running(checkout)


def test_port_in_use_is_named_with_another_one(checkout: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        done = run(checkout, "run", f"PORT={port}")
    assert done.returncode == 2
    message = f"Port {port} of 127.0.0.1 is not free (Address already in use); try: make run PORT={port + 1}"
    assert message in done.stderr
