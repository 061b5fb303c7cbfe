"""Common parts of the measurements: real modules, stacks on them, and private servers on free ports."""

from __future__ import annotations

import os
import platform
import random
import re
import shlex
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from itertools import cycle
from mmap import ACCESS_READ, mmap
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import orjson

from tests.support.redis_server import RedisServer, free_port

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "bench" / "data"
IMAGES = ROOT / "docker" / "images"
STARTS_WITHIN = 180.0  # seconds, on a busy machine
# Another WSGI server, with one process; `--blocking-threads` and `--port` follow.
GRANIAN = ("granian", "--interface", "wsgi", "--workers", "1", "--log-level", "error", "--host", "127.0.0.1")
FUNC = re.compile(rb"\nFUNC (?:m )?([0-9a-f]+) ([0-9a-f]+) ")


Key = tuple[str, str]


class Module(NamedTuple):
    """A .sym file under DATA: <debug file>/<DEBUG ID>/<symbol file>."""

    path: Path

    @property
    def key(self) -> Key:
        return self.path.parts[-3], self.path.parts[-2]

    @property
    def size(self) -> int:
        return self.path.stat().st_size

    def functions(self) -> list[tuple[int, int]]:
        """(module offset, bytes) of each FUNC record."""
        with self.path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as text:
            return [(int(start, 16), int(size, 16)) for start, size in FUNC.findall(text)]


def modules(data: Path = DATA) -> list[Module]:
    """Largest first."""
    found = sorted((Module(path) for path in data.glob("*/*/*.sym")), key=lambda module: -module.size)
    if not found:
        sys.exit(f"no symbol files in {data}: run `python -m bench.data`")
    return found


def frames(
    functions: Sequence[tuple[int, int]], count: int, chance: random.Random, *, by_size: bool = False
) -> list[int]:
    """Return offsets in random functions, each function with the same probability or by its size.

    By size is the worse case: initialisers of tens of kilobytes, which a crash hardly meets, come up often.
    """
    weights = [size for _, size in functions] if by_size else None
    chosen = chance.choices(functions, weights, k=count)
    return [start + chance.randrange(max(size, 1)) for start, size in chosen]


def request(key: Key, offsets: Sequence[int]) -> bytes:
    return request_of([(key, offset) for offset in offsets])


def request_of(stack: Sequence[tuple[Key, int]]) -> bytes:
    """Return a /symbolicate/v5 body with one stack."""
    keys = list(dict.fromkeys(key for key, _ in stack))
    frames = [[keys.index(key), offset] for key, offset in stack]
    return orjson.dumps({"memoryMap": keys, "stacks": [frames]})


@contextmanager
def redis_pair(**environment: str) -> Iterator[dict[str, str]]:
    """Both Redis servers with the project's conf files and an empty storage; the answer is an environment."""
    with (
        TemporaryDirectory(prefix="bench-") as storage,
        RedisServer(IMAGES / "redis-cache" / "redis.conf") as cache,
        RedisServer(IMAGES / "redis" / "redis.conf") as store,
    ):
        yield {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tecken.settings",
            "SECRET_KEY": "bench",
            "DATABASE_URL": f"sqlite:///{storage}/tecken.sqlite3",
            "REDIS_URL": cache.url,
            "REDIS_STORE_URL": store.url,
            "STORAGE_URL": f"file://{storage}",
            "SYMBOL_SOURCES": f"file://{DATA.resolve()}/",
            **environment,
        }


def configure(environment: Mapping[str, str], **options: object) -> None:
    """Set options before the processes start that are measured."""
    changes = [text for name, value in options.items() for text in (name, str(value))]
    for command in (["migrate", "--verbosity", "0"], ["config", "set", *changes]):
        subprocess.run([sys.executable, "manage.py", *command], cwd=ROOT, env=environment, check=True)


def enter(environment: Mapping[str, str]) -> None:
    """Make this process one of the site's."""
    import django  # noqa: PLC0415 - reads the environment once

    os.environ.update(environment)
    django.setup()


def convert(module: Module) -> int:
    """Keep the module's page file as a worker would; the answer is the bytes of its pages."""
    from tecken.store.port import Missing  # noqa: PLC0415
    from tecken.symbolication import services as symbolication_services  # noqa: PLC0415
    from tecken.symbols.ids import ObjectId  # noqa: PLC0415

    header = symbolication_services.converter().convert(ObjectId.parse(*module.key))
    if isinstance(header, Missing):
        sys.exit(f"{module.path}: {header.kind}, {header.reason}")
    return header.span(header.page_count - 1)[1]


def fill_store(module: Module) -> None:
    """Every page of a converted module."""
    from tecken.storage import services as storage_services  # noqa: PLC0415
    from tecken.store import services as store_services  # noqa: PLC0415
    from tecken.store.port import PageKey  # noqa: PLC0415
    from tecken.symbolication.page_reader import read_header, read_pages  # noqa: PLC0415
    from tecken.symbols.ids import ObjectId  # noqa: PLC0415
    from tecken.symbols.pagefile.file import Header  # noqa: PLC0415

    key, files = ObjectId.parse(*module.key), storage_services.page_files()
    header = Header.parse(read_header(files, key))
    numbers = range(header.page_count)
    for some in (numbers[i : i + 500] for i in numbers[::500]):
        names = [PageKey(key, header.generation, number) for number in some]
        store_services.page_store().put_pages(
            dict(zip(names, read_pages(files, key, header, some), strict=True))
        )


class Member(NamedTuple):
    """A converted module. `functions` as `Module.functions` has them, `size` the bytes of its pages."""

    key: Key
    functions: list[tuple[int, int]]
    size: int


def fleet(count: int, folder: Path) -> list[Member]:
    """Few real modules, without the largest, stand for many; SYMBOL_SOURCES must have FOLDER."""
    originals = [(module, module.functions()) for module in modules()[1:]]
    members = []
    for number, (original, functions) in zip(range(count), cycle(originals), strict=False):
        module = clone(original, number, folder)
        members.append(Member(module.key, functions, convert(module)))
        module.path.unlink()
    return members


def clone(module: Module, number: int, folder: Path) -> Module:
    """Return the same symbols under another debug id."""
    name, debug_id = module.key
    another = f"{number:08X}{debug_id[8:]}"
    path = folder / name / another / module.path.name
    path.parent.mkdir(parents=True)
    head, rest = module.path.read_bytes().split(b"\n", 1)
    path.write_bytes(head.replace(debug_id.encode(), another.encode()) + b"\n" + rest)
    return Module(path)


@contextmanager
def process(
    command: Sequence[str], environment: Mapping[str, str], port: int | None = None, *, quiet: bool = False
) -> Iterator[int]:
    """Run a server in the checkout. Yield its process id when PORT accepts connections."""
    stderr = subprocess.DEVNULL if quiet else None
    running = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=stderr)
    try:
        if port is not None:
            wait_for(port, running)
        yield running.pid
    finally:
        stop(running)


def stop(running: subprocess.Popen[bytes]) -> None:
    running.terminate()
    try:
        running.wait(STARTS_WITHIN)
    except subprocess.TimeoutExpired:
        running.kill()
        running.wait()


def wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    """Return when the server accepts connections. Exit if it has ended or takes too long."""
    deadline = time.monotonic() + STARTS_WITHIN
    while server.poll() is None and time.monotonic() < deadline:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        time.sleep(0.05)
    status = "not ready in time" if server.poll() is None else f"ended with status {server.returncode}"
    sys.exit(f"{shlex.join(map(str, server.args))}: {status}")  # type: ignore[arg-type]


@contextmanager
def web(environment: Mapping[str, str], cpus: str = "0", processes: int = 1) -> Iterator[tuple[int, int]]:
    """Run our web server on these CPUs, and yield its port and process id."""
    port = free_port()
    ours = {**environment, "WEB_PORT": str(port), "WEB_PROCESSES": str(processes)}
    with process(["taskset", "-c", cpus, sys.executable, "-m", "run.web"], ours, port) as pid:
        yield port, pid


def processes(pid: int) -> list[int]:
    """Return a process and its descendants."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(process for child in children for process in processes(int(child)))]


def cpu_seconds(pid: int) -> float:
    """Return the user and system time of a process and its descendants, also of those that have ended."""
    fields = [Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split() for one in processes(pid)]
    return sum(sum(map(int, field[11:15])) for field in fields) / os.sysconf("SC_CLK_TCK")


def run_milliseconds(pid: int) -> float:
    """Return for how long the threads of a process and its descendants have run, in nanosecond steps."""
    threads = (task for one in processes(pid) for task in Path(f"/proc/{one}/task").iterdir())
    return sum(int((task / "schedstat").read_text().split()[0]) for task in threads) / 1e6


def post(connection: HTTPConnection, body: bytes) -> bytes:
    connection.request("POST", "/symbolicate/v5", body)
    response = connection.getresponse()
    content = response.read()
    if response.status != 200:
        raise RuntimeError(f"{response.status}: {content[:500]!r}")
    return content


def quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


median = statistics.median


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Markdown, after a line about the machine."""
    print(f"\n{machine()}\n\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |")


def machine() -> str:
    cpu = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    python = f"Python {platform.python_version()}"
    return (
        f"{os.cpu_count()} cores, {cpu.split(': ')[1]}, {memory:.0f} GB, Linux {platform.release()}, {python}"
    )
