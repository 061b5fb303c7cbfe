"""`python3 run/redis_cli.py cache|store [COMMAND ...]`: on the server of `make run`, else of docker-compose.

Plain standard library: beside containers there may be no .venv.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from run.checkout import ROOT, running

URL_OF = {"cache": "REDIS_URL", "store": "REDIS_STORE_URL"}


def main(role: str, *words: str) -> NoReturn:
    os.chdir(ROOT)
    if env := running():
        local(env[URL_OF[role]], words)
    compose = compose_command()
    if compose and (service := f"redis-{role}") in up(compose):
        terminal = [] if sys.stdin.isatty() else ["-T"]
        become([*compose, "exec", *terminal, service, "redis-cli", "-h", service, *words])
    sys.exit("No Redis server of this checkout runs: start it with `make run` or `docker-compose up`.")


def local(url: str, words: Sequence[str]) -> NoReturn:
    if found := shutil.which("redis-cli") or shutil.which("valkey-cli"):
        become([found, "-u", url, *words])
    subprocess.run([sys.executable, "run/install.py", "cli"], check=True)
    iredis = [".venv-cli/bin/iredis", "--iredisrc", "run/iredisrc", "--url", url]
    if words[:1] == ("-n",):  # the database, as redis-cli takes it
        iredis, words = [*iredis, *words[:2]], words[2:]
    if not words:
        become(iredis)
    # Away from a terminal iredis reads its standard input and no arguments.
    sys.exit(subprocess.run(iredis, input=shlex.join(words), text=True, check=False).returncode)


def become(command: list[str]) -> NoReturn:
    os.execvp(command[0], command)


def compose_command() -> list[str]:
    for words in (["docker", "compose"], ["docker-compose"]):
        try:
            subprocess.run([*words, "version"], capture_output=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return words
    return []


def up(compose: list[str]) -> list[str]:
    listed = subprocess.run(
        [*compose, "ps", "--services", "--filter", "status=running"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return listed.stdout.split()


if __name__ == "__main__":
    main(*sys.argv[1:])
