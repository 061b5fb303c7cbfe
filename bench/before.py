"""What must not become slower, in two checkouts that take turns: `python -m bench.before CHECKOUT`.

CHECKOUT is a worktree of an earlier commit with an environment of its own (`python3 run/install.py dev`) and
`bench/data`. The parts are run with the scripts in `bench/` of each checkout: reads of an option, the
maintenance page, limits, `/health`, and downloads. Each figure is the median of the rounds. Needs wrk.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import config_read, download, health, limits, maintenance, rig
from bench.throughput import measured, wrk_script
from tests.support.redis_server import RedisServer

Figures = dict[str, float]

SECONDS = 2
HEALTH_RATE = 500  # requests a second
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
    "maintenance": maintenance_page,
    "limits": limited_requests,
    "health": health_checks,
    "download": downloads,
}


if __name__ == "__main__":
    main()
