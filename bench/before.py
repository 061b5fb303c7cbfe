"""What must not become slower, in two checkouts that take turns: `python -m bench.before CHECKOUT`.

CHECKOUT is a worktree of an earlier commit with an environment of its own (`python3 run/install.py dev`) and
`bench/data`. The parts are run with the scripts in `bench/` of each checkout: reads of an option, starts,
conversion, cold modules, the maintenance page, limits, `/health`, and downloads. Each figure is the median of
the rounds. Needs wrk.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import cold, config_read, convert, download, health, limits, maintenance, rig, startup
from bench.throughput import measured, wrk_script
from tests.support.redis_server import RedisServer, free_port

Figures = dict[str, float]

SECONDS = 2
HEALTH_RATE = 500  # requests a second
STARTS = 5
REST_SECONDS = 5.0
HERE = Path(__file__).resolve()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--part", choices=PARTS, help="run one here, and print its figures as JSON")
    options = parser.parse_args()
    if options.part:
        print(json.dumps(PARTS[options.part]()))
        return
    checkouts = (options.checkout.resolve(), rig.ROOT)
    seen: list[dict[str, list[float]]] = [{}, {}]
    for _ in range(options.rounds):
        for part in options.only:
            for checkout, figures in zip(checkouts, seen, strict=True):
                for name, value in run(part, checkout).items():
                    figures.setdefault(name, []).append(value)
    before, now = ({name: rig.median(values) for name, values in figures.items()} for figures in seen)
    rows = [
        [name, *(f"{value:,.3g}" for value in (before[name], after)), f"{after / before[name]:.2f}"]
        for name, after in now.items()
    ]
    rig.table(["", "before", "now", "now / before"], rows)


def run(part: str, checkout: Path) -> Figures:
    """Return the figures of a part, which runs with the modules of a checkout."""
    # -P: the folder of this script does not come before the checkout.
    command = [str(checkout / ".venv/bin/python"), "-P", str(HERE), str(checkout), "--part", part]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    return dict(json.loads(subprocess.check_output(command, cwd=checkout, env=environment).splitlines()[-1]))


def option_reads() -> Figures:
    with rig.redis_pair() as environment:
        return {"read of an option, us": 1e6 * config_read.seconds(config_read.OURS, environment)}


def starts() -> Figures:
    with startup.plain() as servers:
        checks, processes = zip(*(startup.once(servers) for _ in range(STARTS)), strict=True)
    return {"checks of a start, ms": 1e3 * rig.median(checks), "a start, ms": 1e3 * rig.median(processes)}


def conversions() -> Figures:
    figures: Figures = {}
    for module in largest_and_smallest():
        with TemporaryDirectory() as folder:
            arguments = argparse.Namespace(file=module.path, scratch=Path(folder))
            name = f"conversion, {module.path.name}"
            seconds, cpu, *_ = convert.fresh("pages", arguments)
            figures |= {f"{name}, s": seconds, f"{name}, CPU s": cpu}
    return figures


def cold_modules() -> Figures:
    figures: Figures = {}
    port, modules = free_port(), largest_and_smallest()
    url = f"http://127.0.0.1:{port}/"
    with TemporaryDirectory() as folder, rig.redis_pair(SYMBOL_SOURCES=url) as environment:
        # Copies, because each is cold once. The first one warms the worker up.
        first, *copies = (
            rig.clone(module, i, Path(folder)) for i, module in enumerate([modules[-1], *modules])
        )
        upstream = [sys.executable, "-m", "http.server", str(port), "--directory", folder]
        with (
            rig.process(upstream, environment, port, quiet=True),
            rig.process(cold.WORKER, environment),
            rig.web(environment, "0-3") as (web_port, _),
        ):
            rig.configure(environment, symbolicate_deadline_seconds=120)
            connection = HTTPConnection("127.0.0.1", web_port, timeout=120)
            cold_answer(connection, first)
            for module in copies:
                figures[f"cold module, {module.path.name}, s"] = cold_answer(connection, module)
                time.sleep(REST_SECONDS)  # the worker completes the page file
    return figures


def cold_answer(connection: HTTPConnection, module: rig.Module) -> float:
    """Return the seconds until the first answer for a module."""
    body = rig.request(module.key, rig.frames(module.functions(), 40, random.Random(1)))
    start = time.perf_counter()
    answer = rig.post(connection, body)
    seconds = time.perf_counter() - start
    if b'"function"' not in answer:
        raise RuntimeError(answer[:500])
    return seconds


def largest_and_smallest() -> list[rig.Module]:
    modules = rig.modules()
    return [modules[0], modules[-1]]


def maintenance_page() -> Figures:
    with site() as environment:
        rig.enter(environment)
        maintenance.begin()
        with rig.web(environment) as (port, _):
            rates = {
                what: maintenance.wrk(port, page, SECONDS)[0] for what, page in maintenance.PAGES.items()
            }
    return {f"maintenance, {what}, requests/s": rate for what, rate in rates.items()}


def limited_requests() -> Figures:
    module, chance = rig.modules()[-1], random.Random(1)
    functions = module.functions()
    bodies = [rig.request(module.key, rig.frames(functions, 40, chance)) for _ in range(20)]
    with rig.redis_pair() as environment, TemporaryDirectory() as folder:
        rig.configure(environment, limit_symbolicate="")
        rig.enter(environment)
        rig.convert(module)
        script = wrk_script(bodies, Path(folder))
        ways = {"no limit": "", "two limits of an address": limits.BY_ADDRESS}
        return {
            f"symbolication, {name}, requests/s": measured(
                limits.serving(environment, text), script, SECONDS
            ).per_second
            for name, text in ways.items()
        }


def health_checks() -> Figures:
    figures: Figures = {}
    cache_conf, store_conf = (rig.IMAGES / name / "redis.conf" for name in health.CONF)
    with TemporaryDirectory() as home, RedisServer(cache_conf) as cache, RedisServer(store_conf) as store:
        servers = {"REDIS_URL": cache.url, "REDIS_STORE_URL": store.url}
        with health.site(servers, Path(home)) as port:
            for path in ("/__lbheartbeat__", "/health"):
                health.ask(port, path, HEALTH_RATE, 1)
                answers = health.ask(port, path, HEALTH_RATE, SECONDS)
                figures |= {f"{path}, p{share}, ms": 1e3 * answers.percentile(share) for share in (50, 99)}
    return figures


def downloads() -> Figures:
    with site() as environment:
        download.store(environment)
        with rig.web(environment) as (port, _):
            rates = {case.what: download.measured(case, port, SECONDS)[0] for case in download.CASES}
    return {f"download, {what}, requests/s": float(rate.replace(",", "")) for what, rate in rates.items()}


@contextmanager
def site() -> Iterator[dict[str, str]]:
    """Run both Redis servers, and yield the environment of a site without symbol sources."""
    with TemporaryDirectory(prefix="bench-") as home:
        database = f"sqlite:///{home}/tecken.sqlite3"
        with rig.redis_pair(SYMBOL_SOURCES="", DATABASE_URL=database) as environment:
            yield environment


PARTS: Mapping[str, Callable[[], Figures]] = {
    "options": option_reads,
    "start": starts,
    "conversion": conversions,
    "cold": cold_modules,
    "maintenance": maintenance_page,
    "limits": limited_requests,
    "health": health_checks,
    "download": downloads,
}


if __name__ == "__main__":
    main()
