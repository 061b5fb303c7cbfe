"""Path of a new operator with Compose, as docs/deploy.md describes it: its steps, and the time of each.

    python3 -m bench.operator_path

It clones this checkout into a temporary directory and deploys it with alerts and TLS, from an authority of
Caddy's own. It uploads, symbolicates, waits for the first alert, upgrades to a further commit under load, and
returns to the former one. It needs Python, git, docker-compose and a Docker engine (DOCKER_HOST), and removes
what it has started.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, Queue
from tempfile import TemporaryDirectory
from threading import Thread

from bench.operator_load import Client, Load

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = Path("tests/data/samples")
DOWNLOAD = "/crash-c/DADBB96C91ED58F912FB09F7F2655E6F0/crash-c.sym"
ALERT = "TeckenWorkersMissing"
ALERT_SECONDS = 240.0
NAME = f"tecken-path-{os.getpid()}"
# Exported variables would override those of .env.
OURS = re.compile(r"COMPOSE_|TECKEN_|SECRET_KEY|POSTGRES_|PORT$|ENGINE$|SITE_NAME|TLS$")


class Operator:
    """Site in a clone of this checkout, and the steps of its operator."""

    def __init__(self, home: Path, receiver: AlertReceiver) -> None:
        self.home = home
        self.clone = home / "tecken"
        self.authority = home / "authority.pem"
        self.receiver = receiver
        self.port = free_port()
        self.token = ""
        self.environment = {name: value for name, value in os.environ.items() if not OURS.match(name)}

    def clone_checkout(self) -> str:
        """Clone the repository."""
        run(["git", "clone", "--quiet", str(ROOT), str(self.clone)], self.home, self.environment)
        return ""

    def configure(self) -> str:
        """Copy env.example to .env, name the site, add secrets and the receiver of alerts."""
        compose = self.clone / "deploy" / "compose"
        monitoring = self.home / "monitoring"
        shutil.copytree(compose / "monitoring", monitoring)
        shutil.copytree(self.clone / "deploy" / "prometheus", monitoring / "rules")
        # The waits of the rules and of Alertmanager are minutes.
        substitute(monitoring / "prometheus.yml", r"_interval: .*", "_interval: 2s")
        substitute(monitoring / "rules" / "alerts.yml", r"\bfor: .*", "for: 2s")
        text = (monitoring / "alertmanager.example.yml").read_text()
        text = text.replace("https://alerts.example.com/hook", self.receiver.url)
        (monitoring / "alertmanager.yml").write_text(text.replace("group_wait: 30s", "group_wait: 0s"))
        own = {
            "SITE_NAME": "localhost",
            "TLS": "internal",
            "SECRET_KEY": secrets.token_hex(32),
            "POSTGRES_PASSWORD": secrets.token_hex(32),
            "COMPOSE_PROJECT_NAME": NAME,
            "COMPOSE_FILE": "docker-compose.yml:deploy/compose/tls.yml:deploy/compose/monitoring.yml",
            "TECKEN_IMAGE": NAME,
            "ENGINE": "",
            "HTTPS_PORT": self.port,
            "HTTP_PORT": free_port(),
            "PROMETHEUS_PORT": free_port(),
            "ALERTMANAGER_PORT": free_port(),
            "PROMETHEUS_CONFIG": monitoring / "prometheus.yml",
            "PROMETHEUS_RULES": monitoring / "rules",
            "ALERTMANAGER_CONFIG": monitoring / "alertmanager.yml",
            "BACKUPS": self.home / "backups",
        }
        lines = [f"{name}={value}" for name, value in own.items()]
        (self.clone / ".env").write_text((compose / "env.example").read_text() + "\n".join([*lines, ""]))
        return ""

    def deploy(self) -> str:
        """Build the images and start the site: deploy/compose/upgrade."""
        return last_line(self.run("deploy/compose/upgrade"))

    def create_token(self) -> str:
        """Create a token for uploads."""
        self.authority.write_text(
            self.compose("exec", "-T", "caddy", "cat", "/data/caddy/pki/authorities/local/root.crt")
        )
        command = [
            "createtoken",
            "build@example.com",
            "--permission",
            "upload.upload_symbols",
            "--create-user",
        ]
        self.token = self.compose("exec", "-T", "web", "python", "manage.py", *command).strip()
        return ""

    def upload(self) -> str:
        """Fetch tecken-upload from the site, and upload with it."""
        status, program = self.client().send("GET", "/tecken-upload.pyz")
        assert status == 200, program
        (self.home / "tecken-upload.pyz").write_bytes(program)
        site = {"TECKEN_TOKEN": self.token, "SSL_CERT_FILE": str(self.authority)}
        command = [sys.executable, "tecken-upload.pyz", "--url", f"https://localhost:{self.port}"]
        output = run([*command, str(ROOT / SAMPLES)], self.home, {**self.environment, **site})
        return last_line(output)

    def symbolicate(self) -> str:
        """Symbolicate a stack."""
        status, answer = self.client().send("POST", "/symbolicate/v5", self.stack)
        assert status == 200, answer
        stacks = json.loads(answer)["results"][0]["stacks"]
        functions = [frame["function"] for stack in stacks for frame in stack if "function" in frame]
        assert "crash_report" in functions, answer
        return ", ".join(functions[:3])

    def receive_alert(self) -> str:
        """Stop the worker, and wait for the first alert at the receiver; start the worker again."""
        self.compose("stop", "worker")
        self.receiver.wait_for_alert(ALERT)
        self.compose("start", "worker")
        return ALERT

    def upgrade(self) -> str:
        """Upgrade to the next commit, under load: deploy/compose/upgrade."""
        author = ["-c", "user.name=operator", "-c", "user.email=operator@example.com"]
        commit = ["commit", "--quiet", "--allow-empty", "--message", "next release"]
        run(["git", *author, *commit], self.clone, self.environment)
        has_backup = (self.clone / "tecken" / "management" / "commands" / "backup.py").exists()
        return self.under_load("deploy/compose/upgrade", *([] if has_backup else ["--no-backup"]))

    def roll_back(self) -> str:
        """Return to the former release, under load: deploy/compose/rollback."""
        return self.under_load("deploy/compose/rollback")

    def under_load(self, *command: str) -> str:
        before = self.find_commit()
        load = Load(self.port, str(self.authority), self.token, self.stack, DOWNLOAD)
        with load:
            print(self.run(*command), flush=True)
        assert self.find_commit() != before, "the same release runs"
        lost = load.find_lost()
        figures = [
            f"{kind.served} {name}, {len(kind.failed)} failed, longest wait {kind.longest_gap:.1f} s"
            for name, kind in load.kinds.items()
        ]
        failed = [reason for kind in load.kinds.values() for reason in kind.failed]
        print(*failed[:10], sep="\n", file=sys.stderr)
        assert not lost, lost
        assert not failed, f"{len(failed)} requests failed"
        return "; ".join([*figures, f"{len(lost)} jobs lost"])

    def remove(self) -> None:
        """Remove containers, volumes, networks and images."""
        if (self.clone / ".env").exists():
            self.compose("down", "--volumes", "--remove-orphans", "--rmi", "local", "--timeout", "1")
            tags = run(["docker", "images", "--quiet", f"{NAME}*"], self.home, self.environment).split()
            run(["docker", "rmi", "--force", *dict.fromkeys(tags)], self.home, self.environment)

    @property
    def stack(self) -> bytes:
        return (ROOT / SAMPLES / "stack.json").read_bytes()

    def client(self) -> Client:
        return Client(self.port, str(self.authority))

    def find_commit(self) -> str:
        status, answer = self.client().send("GET", "/__version__")
        assert status == 200, answer
        return str(json.loads(answer)["commit"])

    def run(self, *command: str) -> str:
        return run(command, self.clone, self.environment)

    def compose(self, *arguments: str) -> str:
        return self.run("docker-compose", *arguments)


class AlertReceiver:
    """Webhook for Alertmanager on this host."""

    def __init__(self) -> None:
        alerts: Queue[str] = Queue()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                for alert in message["alerts"]:
                    if alert["status"] == "firing":
                        alerts.put(alert["labels"]["alertname"])
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_arguments: object) -> None:
                """Log nothing: stdout has the report."""

        self._alerts = alerts
        self._server = ThreadingHTTPServer(("", 0), Handler)
        self.url = f"http://{own_address()}:{self._server.server_port}/"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def wait_for_alert(self, name: str) -> None:
        """Wait for the alert. Others may arrive before, while the site starts."""
        deadline = time.monotonic() + ALERT_SECONDS
        try:
            while self._alerts.get(timeout=max(0.0, deadline - time.monotonic())) != name:
                pass
        except Empty:
            raise TimeoutError(f"no alert {name} within {ALERT_SECONDS:.0f} s") from None


STEPS: tuple[Callable[[Operator], str], ...] = (
    Operator.clone_checkout,
    Operator.configure,
    Operator.deploy,
    Operator.create_token,
    Operator.upload,
    Operator.symbolicate,
    Operator.receive_alert,
    Operator.upgrade,
    Operator.roll_back,
)


def run(command: list[str] | tuple[str, ...], home: Path, environment: Mapping[str, str]) -> str:
    """Run a command and return its output. Print the output if the command fails."""
    done = subprocess.run(
        command,
        cwd=home,
        env=dict(environment),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        print(done.stdout, done.stderr, sep="\n", file=sys.stderr)
        raise SystemExit(f"{' '.join(command)}: exit status {done.returncode}")
    return done.stdout


def last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2]


def substitute(path: Path, pattern: str, replacement: str) -> None:
    path.write_text(re.sub(pattern, replacement, path.read_text()))


def own_address() -> str:
    """Return the address of this host that its containers reach, too. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("", 0))
        return int(listener.getsockname()[1])


def main() -> None:
    with TemporaryDirectory(prefix="tecken-path-") as home:
        operator = Operator(Path(home), AlertReceiver())
        begin = time.monotonic()
        try:
            for number, step in enumerate(STEPS, start=1):
                start = time.monotonic()
                result = step(operator)
                text = (step.__doc__ or "").rstrip(".")
                print(f"{number}  {time.monotonic() - start:6.1f} s  {text}", flush=True)
                if result:
                    print(f"             {result}", flush=True)
            print(f"{len(STEPS)} steps, {(time.monotonic() - begin) / 60:.1f} minutes")
        finally:
            operator.remove()


if __name__ == "__main__":
    main()
