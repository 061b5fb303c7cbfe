"""Network of hosts on one machine: each host is a network namespace behind a bridge.

`isolate` first moves the process to namespaces of its own. The kernel removes these with all their
processes, interfaces and files when the process ends, even by SIGKILL. Addresses of the hosts are permanent
neighbours of each other, so packets to a host that was cut off are lost in silence, as on a routed network.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tests.support.sentinel import wait_until

PROGRAMS = ("ip", "nsenter", "unshare")
PREFIX = "10.77.0."
CLIENT = f"{PREFIX}1"
HOME = Path("/run")
"""A file system in memory, which only this process and its children see."""
INSIDE = "TECKEN_HOSTS_INSIDE"
ENDS_WITHIN = 60.0  # seconds
DISABLED, FORWARDING = 0, 3  # states of a port of a bridge
NOWHERE = "02:00:00:00:00:00"


def find_obstacle() -> str:
    """Return why this machine cannot make hosts, or an empty string."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    if os.getuid() != 0:
        return "only root can create network namespaces"
    script = "mount -t tmpfs tmpfs /run && ip netns add a && ip link add type veth && ip link add type bridge"
    tried = subprocess.run([*UNSHARE, "sh", "-c", script], capture_output=True, text=True, check=False)
    return f"no network namespaces: {tried.stderr.strip()}" if tried.returncode else ""


UNSHARE = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--")


def isolate(module: str) -> None:
    """Start this program again in namespaces of its own, unless it runs there already."""
    if INSIDE not in os.environ:
        command = [*UNSHARE, sys.executable, "-m", module, *sys.argv[1:]]
        os.execvpe(command[0], command, {**os.environ, INSIDE: "1"})
    run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", str(HOME))
    os.environ["TMPDIR"] = str(HOME)
    # Signals without a handler have no effect on the first process of a namespace.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def run(*command: str) -> str:
    """Run a command and return its output. Raise RuntimeError with its error output."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


class Network:
    """Bridge, to which the client and the hosts are connected. The client is this process."""

    def __init__(self) -> None:
        self.hosts: list[Host] = []
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", "switch", "address", link_address(1), "type", "bridge")
        run("ip", "address", "add", f"{CLIENT}/24", "dev", "switch")
        run("ip", "link", "set", "switch", "up")

    def add(self, name: str) -> Host:
        """Connect a new host."""
        host = Host(name, len(self.hosts) + 2)
        self.hosts.append(host)
        return host

    def introduce(self) -> None:
        """Make all hosts permanent neighbours of each other."""
        for host in self.hosts:
            run("ip", "neigh", "replace", host.address, "lladdr", host.link_address, "dev", "switch")
            self.unsilence(host)

    def silence(self, host: Host) -> None:
        """Lose all packets that the host sends. It still receives."""
        host.set_neighbours(dict.fromkeys(self._neighbours(host), NOWHERE))

    def unsilence(self, host: Host) -> None:
        """End `silence`."""
        host.set_neighbours(self._neighbours(host))

    def _neighbours(self, host: Host) -> dict[str, str]:
        others = {other.address: other.link_address for other in self.hosts if other is not host}
        return {CLIENT: link_address(1), **others}


class Host:
    """Network namespace with the programs of one host, which start and end together."""

    def __init__(self, name: str, number: int) -> None:
        self.name, self.address = name, f"{PREFIX}{number}"
        self.home = HOME / name
        self.home.mkdir()
        self.link_address = link_address(number)
        self.programs: dict[str, tuple[str, ...]] = {}
        self.environment: dict[str, str] = dict(os.environ)
        self.stop_signal = signal.SIGTERM
        self._link = f"to-{name}"
        run("ip", "netns", "add", name)
        run("ip", "link", "add", self._link, "type", "veth", "peer", "eth0", "netns", name)
        run("ip", "link", "set", self._link, "master", "switch", "up")
        self.ip("link", "set", "lo", "up")
        self.ip("link", "set", "eth0", "address", self.link_address)
        self.ip("address", "add", f"{self.address}/24", "dev", "eth0")
        self.ip("link", "set", "eth0", "up")

    def ip(self, *arguments: str) -> None:
        """Run `ip` inside the host."""
        run("ip", "-n", self.name, *arguments)

    def set_neighbours(self, neighbours: Mapping[str, str]) -> None:
        """Set the Ethernet addresses to which packets are sent, by IP address."""
        lines = (
            f"neigh replace {address} lladdr {link} dev eth0 nud permanent\n"
            for address, link in neighbours.items()
        )
        subprocess.run(["ip", "-n", self.name, "-batch", "-"], input="".join(lines), text=True, check=True)

    def delay(self, milliseconds: int) -> None:
        """Delay all packets that the host sends; 0 ends it."""
        action = ("add", "netem", "delay", f"{milliseconds}ms") if milliseconds else ("del",)
        run("tc", "-n", self.name, "qdisc", action[0], "dev", "eth0", "root", *action[1:])

    def start(self, more: Mapping[str, str] | None = None) -> None:
        """Start all programs, `more` variables being in their environment."""
        for name, command in self.programs.items():
            with (self.home / f"{name}.log").open("ab") as log:
                subprocess.Popen(
                    ["nsenter", f"--net=/run/netns/{self.name}", "--", *command],
                    cwd=Path(__file__).parents[2],
                    env={**self.environment, **(more or {})},
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )

    def kill(self) -> None:
        """Kill all processes, as a loss of power does."""
        # A parent that is stopped does not start another child for one that was killed.
        self.signal(signal.SIGSTOP)
        self.signal(signal.SIGKILL)
        wait_until(self.has_ended, ENDS_WITHIN, f"{self.name} has ended")

    def stop(self) -> None:
        """Stop the programs in an orderly way."""
        for process in self._first_processes():
            with suppress(ProcessLookupError):
                os.kill(process, self.stop_signal)
        wait_until(self.has_ended, ENDS_WITHIN, f"{self.name} has ended")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all processes."""
        for process in self.processes():
            with suppress(ProcessLookupError):
                os.kill(process, number)

    def processes(self) -> list[int]:
        """Return the ids of all processes that have not ended."""
        _reap()
        return [int(process) for process in run("ip", "netns", "pids", self.name).split()]

    def has_ended(self) -> bool:
        return not self.processes()

    def cut(self) -> None:
        """Lose all packets to and from the host."""
        self._set_port(DISABLED)

    def join(self) -> None:
        """End `cut`."""
        self._set_port(FORWARDING)

    def _set_port(self, state: int) -> None:
        run("bridge", "link", "set", "dev", self._link, "state", str(state))

    def _first_processes(self) -> list[int]:
        """Return those processes whose parent is not on the host."""
        mine = set(self.processes())
        return [process for process in mine if _parent(process) not in mine]


def link_address(number: int) -> str:
    """Return the Ethernet address of the host with this number; the client has number 1."""
    return f"02:00:00:00:01:{number:02x}"


def _parent(process: int) -> int:
    with suppress(OSError):
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


def _reap() -> None:
    """Collect processes that have ended: all of them become children of the first in a namespace."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
