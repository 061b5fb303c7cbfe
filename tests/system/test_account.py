"""The site with accounts that may do what is checked at start, and nothing else."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import httpx
import redis

from tecken.monitoring.preflight import inspect
from tests.support.redis_server import RedisServer
from tests.support.sentinel import wait_until
from tests.system.site import IMAGES, Site

SAMPLES = Path(__file__).parents[1] / "data" / "samples"
SYM = next((SAMPLES / "crash-c").glob("*/crash-c.sym"))
SYMBOLICATED_WITHIN = 60.0  # seconds, on a busy machine
LIMITED = {"limit_symbolicate": "1000000 requests/minute per address"}
REQUEST = {"memoryMap": [["crash-c", SYM.parent.name]], "stacks": [[[0, 0x1180]]]}


def account(server: RedisServer, *asked: tuple[inspect.Command, ...]) -> str:
    with redis.Redis.from_url(server.url) as client:
        client.execute_command("ACL", "SETUSER", "ted", "on", ">s3cret", *inspect.acl_rules(*asked))
    return server.url.replace("//", "//ted:s3cret@")


def denied(server: RedisServer) -> list[tuple[str, str]]:
    with redis.Redis.from_url(server.url) as client:
        return [(entry["reason"], entry["object"]) for entry in client.acl_log()]


def archive() -> bytes:
    body = BytesIO()
    with ZipFile(body, "w") as made:
        made.writestr(f"crash-c/{SYM.parent.name}/crash-c.sym", SYM.read_bytes())
    return body.getvalue()


def is_symbolicated(site: Site) -> bool:
    """Return whether the site has the module. It waits for the worker, and answers 503 if that takes long."""
    results = site.symbolicate(REQUEST).json().get("results")
    return bool(results) and results[0]["found_modules"] == {f"crash-c/{SYM.parent.name}": True}


def use(site: Site) -> None:
    """Upload, symbolicate cold and warm, download, read the health, and change an option."""
    token = site.manage(
        "createtoken", "ci@example.com", "--permission", "upload.upload_symbols", "--create-user"
    )
    headers = {"Auth-Token": token.strip()}
    files = {"symbols.zip": archive()}
    httpx.post(f"{site.url}/upload/", headers=headers, files=files, timeout=30).raise_for_status()
    wait_until(lambda: is_symbolicated(site), SYMBOLICATED_WITHIN, "the worker converts the module")
    httpx.get(f"{site.url}/crash-c/{SYM.parent.name}/crash-c.sym", timeout=30).raise_for_status()
    httpx.get(f"{site.url}/health", timeout=30)
    site.manage("config", "set", "log_level", "WARNING")


def test_redis_account_with_checked_commands_only_runs_the_site(tmp_path: Path) -> None:
    with (
        RedisServer(IMAGES / "redis-cache" / "redis.conf") as cache,
        RedisServer(IMAGES / "redis" / "redis.conf") as store,
    ):
        cache_url = account(cache, inspect.CACHE, inspect.CACHE_OUTSIDE)
        store_url = account(store, inspect.STORE)
        with Site(tmp_path, LIMITED, REDIS_URL=cache_url, REDIS_STORE_URL=store_url) as site:
            use(site)
        assert denied(cache) == []
        assert denied(store) == []
