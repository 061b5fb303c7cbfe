"""`python3 run/redis_cli.py cache|store [COMMAND ...]`: on the server of `make run`, else of docker-compose.

Plain standard library: beside containers there may be no .venv.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from run.checkout import ROOT, running

URL_OF = {"cache": "REDIS_URL", "store": "REDIS_STORE_URL"}


def command(role: str, words: list[str]) -> list[str]:
    if env := running():
        return [*local(env[URL_OF[role]]), *words]
    compose = compose_command()
    if compose and (service := f"redis-{role}") in up(compose):
        terminal = [] if sys.stdin.isatty() else ["-T"]
        return [*compose, "exec", *terminal, service, "redis-cli", "-h", service, *words]
    sys.exit("No Redis server of this checkout runs: start it with `make run` or `docker-compose up`.")


def local(url: str) -> list[str]:
    for name, option in (("redis-cli", "-u"), ("valkey-cli", "-u")):
        if found := shutil.which(name):
            return [found, option, url]
    return [str(ROOT / ".venv" / "bin" / "iredis"), "--url", url]


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
    role, *words = sys.argv[1:]
    argv = command(role, words)
    os.chdir(ROOT)
    os.execvp(argv[0], argv)
