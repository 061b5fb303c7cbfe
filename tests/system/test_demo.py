"""Features of a demo in one process, and the refusal to serve with one.

One demo serves all tests of this module. Its two Redis URLs lead to closed ports.
"""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.redis_server import free_port
from tests.support.sentinel import wait_until
from tests.system import test_roundtrip as roundtrip
from tests.system.site import ROOT, Site
from tests.system.test_roundtrip import Module, Uploader

pytestmark = pytest.mark.xdist_group("demo")  # all tests share a site

SOON = 60.0  # seconds
ENDS_WITHIN = 60.0
PERMISSIONS = ("upload.upload_symbols", "runtimeconfig.change_option", "runtimeconfig.view_option")
SMALL: dict[str, Any] = {"memoryMap": [], "stacks": [[]]}
WARNINGS = ("⚠ Using in-memory counters (DEMO_MODE)", "⚠ Using in-memory queue (DEMO_MODE)")


class Demo(Site):
    """Site started by `DEMO_MODE=true make serve`."""

    web = ("-m", "run.web")

    def __init__(self, home: Path, **environment: str) -> None:
        nobody = f"redis://127.0.0.1:{free_port()}"
        super().__init__(
            home,
            None,
            DEMO_MODE="true",
            REDIS_URL=nobody,
            REDIS_STORE_URL=nobody,
            HEALTH_CHECK_SECONDS="20",  # a busy machine makes nothing late
            RUNTIME_CONFIG_FILE=str(home / "config" / "runtime.json"),
            **environment,
        )
        self.log = home / "log"
        self.token = ""

    def _start(self) -> None:
        self._web = self._python([*self.web])
        self.wait_for_web()
        asked = [word for name in PERMISSIONS for word in ("--permission", name)]
        self.token = self.manage("createtoken", "me@example.com", *asked, "--create-user").strip()

    def wait_for_web(self) -> None:
        def answers() -> bool:
            assert self._web is not None
            assert self._web.poll() is None, self.log.read_text()
            try:
                return httpx.get(f"{self.url}/__lbheartbeat__", timeout=30).is_success
            except httpx.ConnectError:
                return False

        wait_until(answers, SOON, "the demo answers")

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", headers={"Auth-Token": self.token}, timeout=30)

    def change(self, **values: object) -> None:
        texts = {name: None if value is None else str(value) for name, value in values.items()}
        reply = httpx.patch(
            f"{self.url}/api/config/",
            json={"changes": texts},
            headers={"Auth-Token": self.token},
            timeout=30,
        )
        assert reply.status_code == 200, reply.text

    def close(self) -> None:
        self.__exit__(None, None, None)

    def start_another(self, arguments: tuple[str, ...], **more: str) -> tuple[int, str]:
        """Start another process. Return its exit status and its output."""
        environment = {**self._environment, "WEB_PORT": str(free_port()), **more}
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=ENDS_WITHIN,
        )
        return done.returncode, done.stderr


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with Demo(tmp_path_factory.mktemp("demo")) as demo:
        yield demo


@pytest.mark.parametrize(
    "way", [roundtrip.by_zip, roundtrip.by_program, roundtrip.by_direct_upload, roundtrip.by_sym_upload]
)
def test_demo_uploaded_file_is_symbolicated_and_downloaded(
    demo: Demo, tmp_path: Path, way: Callable[[Uploader, Module], None]
) -> None:
    module = Module(f"{way.__name__}.so")
    assert module.found(demo) is False  # and that is remembered
    way(Uploader(demo, demo.token, tmp_path), module)
    wait_until(lambda: module.found(demo), SOON, "it is converted")
    reply = httpx.get(f"{demo.url}/{module.path}")
    assert (reply.status_code, reply.content) == (200, module.text)


def test_demo_repeated_request_has_the_same_response(demo: Demo, tmp_path: Path) -> None:
    module = Module("warm.so")
    roundtrip.by_zip(Uploader(demo, demo.token, tmp_path), module)
    request = {"memoryMap": [[module.debug_file, roundtrip.DEBUG_ID]], "stacks": [[[0, 0x1180]]]}
    wait_until(lambda: module.found(demo), SOON, "it is converted")
    cold, warm = (demo.symbolicate(request).json() for _ in range(2))
    assert cold == warm
    assert cold["results"][0]["stacks"][0][0]["function"]


def test_demo_begins_with_the_guided_tour(demo: Demo) -> None:
    page = httpx.get(f"{demo.url}/", headers={"Accept": "text/html"}, timeout=30).text
    assert "<h1>A crash, from addresses to functions</h1>" in page
    assert "crash_cpp_price" in page


def test_demo_example_of_the_home_page_is_symbolicated(demo: Demo) -> None:
    # As somebody who has hidden the guided tour.
    headers = {"Accept": "text/html", "Cookie": "tour=hidden"}
    page = httpx.get(f"{demo.url}/", headers=headers, timeout=30).text
    [body] = re.findall(r"/symbolicate/v5 -d &#x27;(.*?)&#x27;</code>", page, re.DOTALL)
    frame = demo.symbolicate(json.loads(html.unescape(body))).json()["results"][0]["stacks"][0][0]
    assert frame["function"] == "crash_cpp_price"


def test_demo_missing_file_is_404(demo: Demo) -> None:
    name = f"nobody.so/{roundtrip.DEBUG_ID}/nobody.so.sym"
    assert httpx.get(f"{demo.url}/{name}").status_code == 404


def test_demo_option_changed_on_the_page_applies(demo: Demo) -> None:
    two = {"jobs": [SMALL, SMALL]}
    demo.change(symbolicate_max_jobs=1)
    wait_until(lambda: demo.symbolicate(two).status_code == 413, SOON, "one job is the most")
    demo.change(symbolicate_max_jobs=None)
    wait_until(lambda: demo.symbolicate(two).status_code == 200, SOON, "two jobs are allowed again")


def test_demo_option_changed_by_command_applies(demo: Demo) -> None:
    two = {"jobs": [SMALL, SMALL]}
    demo.manage("config", "set", "symbolicate_max_jobs", "1")
    wait_until(lambda: demo.symbolicate(two).status_code == 413, SOON, "one job is the most")
    demo.manage("config", "unset", "symbolicate_max_jobs")
    wait_until(lambda: demo.symbolicate(two).status_code == 200, SOON, "two jobs are allowed again")


def test_demo_maintenance_closes_the_site(demo: Demo) -> None:
    demo.manage("maintenance", "on")
    wait_until(lambda: demo.symbolicate(SMALL).status_code == 503, SOON, "it is shut")
    demo.manage("maintenance", "off")
    wait_until(lambda: demo.symbolicate(SMALL).status_code == 200, SOON, "it is open")


def test_demo_rate_limit_refuses_requests(demo: Demo) -> None:
    demo.change(limit_symbolicate="2 requests/hour per address")
    wait_until(lambda: demo.symbolicate(SMALL).status_code == 429, SOON, "there were too many")
    demo.change(limit_symbolicate=None)
    wait_until(lambda: demo.symbolicate(SMALL).status_code == 200, SOON, "there is no limit")


def test_demo_usage_is_counted(demo: Demo, tmp_path: Path) -> None:
    roundtrip.by_zip(Uploader(demo, demo.token, tmp_path), Module("counted.so"))

    def units() -> set[str]:
        return {amount["unit"] for amount in demo.get("/api/usage/").json()["usage"]}

    wait_until(lambda: "requests" in units(), SOON, "the request counts")


def test_demo_health_is_well_and_names_memory(demo: Demo) -> None:
    wait_until(lambda: demo.get("/health").json()["status"] == "healthy", SOON, "it is healthy")
    document = demo.get("/health").json()
    assert (document["demo_mode"], document["environment"], document["problems"]) == (True, "development", [])
    assert all(document[part]["backend"] == "memory" for part in ("redis", "queue", "store"))
    assert document["queue"]["queue_depth"] is not None


def test_demo_health_details_are_served(demo: Demo) -> None:
    details = demo.get("/admin/health/redis").json()
    assert details["demo_mode"] is True
    memory = {"status": "connected", "backend": "memory"}
    assert details["counter_backend"].items() >= memory.items()
    assert details["queue_service"].items() >= memory.items()


def test_demo_scheduled_jobs_run(demo: Demo) -> None:
    """A canary runs through each queue every few seconds."""

    def told() -> Mapping[str, Any]:
        queue: Mapping[str, Any] = demo.get("/health").json()["queue"]
        return queue

    wait_until(lambda: told()["canary_seconds"] is not None, SOON, "a canary came through")
    assert told()["dead"] == 0


@pytest.mark.parametrize("path", ["/metrics", "/api/stats/", "/api/redis/", "/health/ready"])
def test_demo_other_pages_are_served(demo: Demo, path: str) -> None:
    reply = demo.get(path)
    assert reply.status_code == 200, reply.text


def test_demo_log_warns_of_servers_in_memory(demo: Demo) -> None:
    log = demo.log.read_text()
    assert all(warning in log for warning in WARNINGS)
    assert "Traceback" not in log


WEB = ("-m", "run.web")
ANY_WEB = ("-c", "import tecken.wsgi")
WORKER = ("-m", "celery", "-A", "tecken", "worker")
BEAT = ("-m", "celery", "-A", "tecken", "beat", "--schedule", os.devnull)


@pytest.mark.parametrize("arguments", [WEB, WORKER, BEAT])
def test_demo_second_process_is_refused(demo: Demo, arguments: tuple[str, ...]) -> None:
    status, said = demo.start_another(arguments)
    assert (status, "validation failed: DEMO_MODE" in said) == (os.EX_CONFIG, True), said


def test_demo_second_process_of_another_web_server_is_refused(demo: Demo) -> None:
    status, said = demo.start_another(ANY_WEB)
    assert status != 0
    assert "validation failed: DEMO_MODE is for one process" in said


@pytest.mark.parametrize("arguments", [WEB, WORKER, BEAT])
def test_demo_in_production_is_refused(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    with closing(Demo(tmp_path)) as demo:
        status, said = demo.start_another(arguments, ENVIRONMENT="production")
    assert (status, "DEMO_MODE is not for ENVIRONMENT=production" in said) == (os.EX_CONFIG, True), said


def test_demo_with_several_web_processes_is_refused(tmp_path: Path) -> None:
    with closing(Demo(tmp_path)) as demo:
        status, said = demo.start_another(WEB, WEB_PROCESSES="2")
    assert (status, "WEB_PROCESSES" in said) == (os.EX_CONFIG, True), said
