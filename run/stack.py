"""The site of `make run`: both Redis servers, a worker, beat and the web server, until Ctrl-C."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
from pathlib import Path

from run.checkout import HOME, LOG, ROOT, STATE, claim, environment, read_state
from run.supervisor import Command, supervise
from run.web import remove_stale_metrics
from tecken.storage.dump import find_rust_engine
from tests.support.redis_server import free_port, server_binary

# On a temporary machine root is often the only user.
AS_ROOT = "ignore:You're running the worker with superuser"
CELERY = ("-m", "celery", "--quiet", "-A", "tecken")
# Beat is a process of its own, because inside a worker it would close files that it needs (tecken/celery.py).
PROGRAMS = {
    "worker": ("-W", AS_ROOT, *CELERY, "worker", "--loglevel", "warning"),
    "beat": (*CELERY, "beat", "--loglevel", "warning"),
    "web": ("-m", "run.web"),
}
IMAGES = ROOT / "docker" / "images"


def main() -> int:
    """Run the site. Return the exit status."""
    os.chdir(ROOT)
    with claim() as is_first:
        if not is_first:
            sys.exit(
                f"Tecken runs in this checkout already: {read_state().get('TECKEN_URL', 'it is starting')}"
            )
        servers = choose_servers(find_port())
        env = environment(servers)
        print("Starting two Redis servers, a worker, beat and the web server ...", flush=True)
        print(describe_engine(), end="", flush=True)
        password = prepare(env)
        STATE.write_text(json.dumps(servers))
        try:
            return serve(env, password)
        finally:
            STATE.unlink()


def find_port() -> int:
    """Return the port in PORT. Exit if it is no port or not free."""
    text = os.environ.get("PORT") or "8000"
    try:
        port = int(text)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
    except (ValueError, OverflowError):
        sys.exit(f"PORT must be a port number, not {text!r}")
    except OSError as error:
        sys.exit(f"Port {port} of 127.0.0.1 is not free ({error.strerror}); try: make run PORT={port + 1}")
    return port


def describe_engine() -> str:
    """Return a line about the engine for native files, if it is the slower one; else nothing."""
    if find_rust_engine():
        return ""
    return "Native files are converted in Python; make engine builds a faster engine (needs cargo)\n"


def choose_servers(port: int) -> dict[str, str]:
    """Return settings that override those of .env, because each start has servers of its own."""
    return {
        "TECKEN_URL": f"http://127.0.0.1:{port}",
        "WEB_PORT": str(port),
        "REDIS_URL": f"redis://127.0.0.1:{free_port()}",
        "REDIS_STORE_URL": f"redis://127.0.0.1:{free_port()}",
        "SECRET_KEY": read_secret_key(),
    }


def read_secret_key() -> str:
    """Return the key in .run. It stays the same over restarts, so that sessions remain valid."""
    path = HOME / "secret-key"
    if not path.exists():
        path.write_text(secrets.token_urlsafe(48))
    return path.read_text()


def prepare(env: dict[str, str]) -> str:
    """Migrate the database. Return the password of the account `admin` if it was created now."""
    command = [sys.executable, "-m", "run.admin", "prepare"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no output"]
        with LOG.open("a") as log:
            log.writelines(f"{line}\n" for line in lines)
        sys.exit(f"The database could not be prepared: {lines[-1]} (more is in {LOG.relative_to(ROOT)})")
    return done.stdout.strip()


def serve(env: dict[str, str], password: str) -> int:
    """Run all processes until a signal. Return the exit status."""
    metrics = HOME / "metrics"
    remove_stale_metrics(metrics)
    # The screen can shorten only lines of this format (run/supervisor.py), so it overrides .env.
    env = {**env, "PROMETHEUS_MULTIPROC_DIR": str(metrics), "LOG_FORMAT": "line"}
    servers = [
        Command("redis-cache", redis_command(IMAGES / "redis-cache", env["REDIS_URL"]), env, quiet=True),
        Command("redis-store", redis_command(IMAGES / "redis", env["REDIS_STORE_URL"]), env, quiet=True),
    ]
    programs = [Command(name, [sys.executable, *arguments], env) for name, arguments in PROGRAMS.items()]
    tour = subprocess.Popen([sys.executable, "-m", "run.tour"], env=env, stdin=subprocess.PIPE, text=True)
    assert tour.stdin
    with tour.stdin:
        # Every user of the machine could read it in an argument.
        tour.stdin.write(password)
    try:
        return supervise(servers, programs, log=LOG)
    finally:
        tour.terminate()
        tour.wait()


def redis_command(image: Path, url: str) -> list[str]:
    """Return the command of a Redis server with the configuration of a Docker image and its data in .run."""
    data = HOME / image.name
    data.mkdir(exist_ok=True)
    port = url.rpartition(":")[2]
    options = ["--port", port, "--bind", "127.0.0.1", "--dir", str(data)]
    return [server_binary(), str(image / "redis.conf"), *options]


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (KeyboardInterrupt, BrokenPipeError):
        # This can happen only before the processes run; afterwards the supervisor handles signals.
        os._exit(0)
