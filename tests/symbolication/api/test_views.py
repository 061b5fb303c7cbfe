"""Symbolication over HTTP, with both Redis servers and a directory as storage. No worker runs."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_django
from django.test import Client
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from prometheus_client import REGISTRY

import tecken.celery  # noqa: F401 - tasks are sent by the current app
from tecken import services
from tecken.jobs import keys
from tecken.jobs.keys import CONVERT
from tecken.metrics import RENDERED
from tecken.redisclient import services as redis_services
from tecken.storage import services as storage_services
from tecken.storage.backends.files import gzip_chunks
from tecken.store.port import Missing
from tecken.symbolication import services as symbolication_services
from tecken.symbolication.api import views
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import symbol_file
from tecken.symbols.pagefile.file import Header
from tests.support.options import Override
from tests.symbolication.memory import CPP, RUST, SAMPLES, C, sample

pytest_plugins = ["tests.symbolication.sample_source"]

LIBC = ObjectId("libc.so.6", "EC61AC938E5A39B16F9FBD350E3169A50")
STACK = (SAMPLES / "stack.json").read_bytes()
JOB = orjson.loads(STACK)["jobs"][0]


def forget_parts() -> None:
    views.frames.cache_clear()
    services.discard_all()


@pytest.fixture(autouse=True)
def _no_frames(sample_source: None) -> Iterator[None]:
    views.frames.cache_clear()
    yield
    views.frames.cache_clear()


@pytest.fixture
def warm_modules(db: None) -> None:
    for module in (C, CPP, RUST):
        assert isinstance(symbolication_services.converter().convert(module), Header)
    assert isinstance(symbolication_services.converter().convert(LIBC), Missing)


def post(version: str, body: Any, **headers: str) -> Any:
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    return Client(enforce_csrf_checks=True).post(
        f"/symbolicate/{version}", content, content_type="text/plain", headers=headers or None
    )


def ask(version: str, body: Any, **headers: str) -> Any:
    reply = post(version, body, **headers)
    assert reply.status_code == 200
    assert reply["Content-Type"] == "application/json"
    return orjson.loads(reply.content)


@pytest.mark.usefixtures("warm_modules")
def test_v5_request_returns_frames() -> None:
    answer = ask("v5", STACK)
    assert list(answer) == ["results"]
    (result,) = answer["results"]
    assert result["found_modules"] == {str(RUST): True, str(CPP): True, str(C): True, str(LIBC): False}
    assert result["module_errors"] == {}
    (stack,) = result["stacks"]
    assert all("function" in frame for frame in stack if frame["module"] != "libc.so.6")
    assert ask("v5", JOB) == answer


@pytest.mark.usefixtures("warm_modules")
def test_v4_request_returns_frames() -> None:
    answer = ask("v4", JOB | {"version": 4})
    assert answer["knownModules"] == [True, True, True, False]
    assert [len(stack) for stack in answer["symbolicatedStacks"]] == [12]


@pytest.mark.usefixtures("warm_modules")
@pytest.mark.parametrize("value", ["1", "true", "YES"])
def test_v5_debug_header_adds_the_cost(value: str) -> None:
    assert ask("v5", STACK, Debug=value)["debug"]["stacks"] == {"count": 12, "real": 12}
    assert ask("v4", JOB | {"version": 4}, Debug=value)["debug"]["modules"]["count"] == 4


@pytest.mark.usefixtures("warm_modules")
@pytest.mark.parametrize("value", ["0", "no", ""])
def test_v5_other_debug_values_add_nothing(value: str) -> None:
    assert "debug" not in ask("v5", STACK, Debug=value)


@pytest.mark.usefixtures("warm_modules")
def test_v5_compressed_body_is_unpacked() -> None:
    assert ask("v5", gzip.compress(STACK), **{"Content-Encoding": "gzip"}) == ask("v5", STACK)


def test_v5_cold_modules_are_pending_after_the_deadline() -> None:
    reply = post("v5", STACK)
    assert reply.status_code == 503
    assert int(reply["Retry-After"]) > 0
    assert orjson.loads(reply.content)["error"].startswith("None of 4 modules could be read: ")
    assert reply["Access-Control-Allow-Origin"] == "*"


@pytest.mark.django_db
def test_v5_one_warm_module_gives_a_partial_response() -> None:
    symbolication_services.converter().convert(C)
    (result,) = ask("v5", STACK)["results"]
    assert result["found_modules"] == {str(RUST): False, str(CPP): False, str(C): True, str(LIBC): False}
    assert [errors[0]["name"] for errors in result["module_errors"].values()] == ["Pending"] * 3, result
    assert result["module_errors"].keys() == {str(RUST), str(CPP), str(LIBC)}


@pytest.mark.parametrize("version", ["v4", "v5"])
def test_v5_bad_requests_have_contract_errors(version: str, runtime_options: Override) -> None:
    runtime_options(symbolicate_max_body_bytes=100)
    replies = [post(version, b"{"), post(version, b"[]"), post(version, bytes(101))]
    assert [reply.status_code for reply in replies] == [400, 400, 413]
    assert [orjson.loads(reply.content)["error"] for reply in replies] == [
        "Invalid JSON passed in",
        "Not a dict",
        "The body is larger than 100 bytes",
    ]
    assert {reply["Access-Control-Allow-Origin"] for reply in replies} == {"*"}


def test_v5_request_over_a_limit_is_413(runtime_options: Override) -> None:
    runtime_options(symbolicate_max_jobs=1, symbolicate_max_frames=11)
    assert post("v5", {"jobs": [JOB, JOB]}).status_code == 413
    assert post("v5", JOB).status_code == 413
    assert post("v4", JOB | {"version": 4}).status_code == 413


@pytest.mark.parametrize("path", ["/symbolicate/v4", "/symbolicate/v5"])
def test_v5_other_methods_are_405(path: str) -> None:
    for reply in (Client().get(path), Client().head(path), Client().put(path)):
        assert (reply.status_code, reply["Allow"]) == (405, "POST, OPTIONS")
        assert reply["Access-Control-Allow-Origin"] == "*"
    assert Client().get(path).json() == {"error": "Must use HTTP POST"}
    preflight = Client().options(path)
    assert (preflight.status_code, preflight.content) == (200, b"")
    assert preflight["Access-Control-Allow-Origin"] == "*"


def test_root_answers_by_method() -> None:
    gone = Client(enforce_csrf_checks=True).post("/", STACK, content_type="application/json")
    assert gone.status_code == 410
    assert gone.json().keys() == {"error"}
    assert gone["Access-Control-Allow-Origin"] == "*"
    assert Client().get("/").status_code == 200
    assert Client().put("/").status_code == 405
    assert Client().options("/").status_code == 200


def test_requests_metric_counts_by_status() -> None:
    def request_count(status: str) -> float:
        labels = {"version": "v5", "status": status}
        return REGISTRY.get_sample_value("tecken_symbolicate_requests_total", labels) or 0

    before = request_count("400"), request_count("405")
    post("v5", b"{")
    Client().get("/symbolicate/v5")
    assert (request_count("400"), request_count("405")) == (before[0] + 1, before[1] + 1)


OFFSETS = st.integers(-(2**63), 2**64 - 1) | st.integers(0, 10_000)


@pytest.mark.usefixtures("warm_modules")
def test_v5_request_sent_twice_counts_its_rendered_frames_once() -> None:
    counter = RENDERED.labels("v5")
    before = counter._value.get()
    ask("v5", STACK)
    rendered = counter._value.get() - before
    ask("v5", STACK)
    assert 0 < rendered <= 12
    assert counter._value.get() - before == rendered


FRAMES = st.lists(st.tuples(st.integers(-1, 3), OFFSETS), max_size=4)
NAMES = st.sampled_from([C.debug_file, LIBC.debug_file, "", "a/b", "\x01"]) | st.text(max_size=9) | st.none()
IDS = st.sampled_from([C.debug_id, C.debug_id.lower(), LIBC.debug_id, "", "x"]) | st.text(max_size=9)
JOBS = st.fixed_dictionaries(
    {
        "memoryMap": st.lists(st.tuples(NAMES, IDS), min_size=4, max_size=4),
        "stacks": st.lists(FRAMES, max_size=3),
        "version": st.just(4),
    }
)


@pytest.mark.usefixtures("warm_modules")
@hypothesis(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(JOBS)
def test_v5_arbitrary_request_is_never_500(job: dict[str, Any]) -> None:
    for version in ("v4", "v5"):
        reply = post(version, job)
        answer = orjson.loads(reply.content)
        if reply.status_code != 200:
            assert reply.status_code == 503
            assert set(answer) == {"error"}
            continue
        stacks = answer["symbolicatedStacks"] if version == "v4" else answer["results"][0]["stacks"]
        assert [len(stack) for stack in stacks] == [len(stack) for stack in job["stacks"]]


def test_v5_many_unknown_modules_send_few_jobs(runtime_options: Override) -> None:
    runtime_options(symbolicate_max_cold_modules=300, symbolicate_client_cold_modules=20)
    modules = [[f"unknown{i}.so", f"{i:033X}"] for i in range(5000)]
    stacks = [[[i, 0x1000] for i in range(5000)]]
    reply = post("v5", {"jobs": [{"memoryMap": modules, "stacks": stacks}]})
    assert reply.status_code == 503
    waiting = [redis_services.queue_client().llen(keys.waiting(CONVERT, each)) for each in keys.PRIORITIES]
    assert waiting == [1, 9, 0, 0]


@pytest.mark.usefixtures("warm_modules")
def test_v5_too_many_cold_modules_names_the_limit(runtime_options: Override) -> None:
    runtime_options(symbolicate_max_cold_modules=3)
    modules = [[*C], *([f"unknown{i}.so", f"{i + 1:032X}0"] for i in range(5))]
    reply = post("v5", {"memoryMap": modules, "stacks": [[[i, 0x1205] for i in range(6)]]})
    assert reply.status_code == 200
    (result,) = reply.json()["results"]
    assert result["found_modules"]["/".join(C)] is True
    texts = [error["message"] for errors in result["module_errors"].values() for error in errors]
    assert sum("more than 3 modules of this request" in text for text in texts) == 2


@pytest.fixture
def only_in_try(settings: pytest_django.Settings) -> None:
    settings.SYMBOL_SOURCES = []
    forget_parts()
    storage_services.try_files().put(symbol_file(C), gzip_chunks([sample(C)]))
    assert isinstance(symbolication_services.converter().convert(C), Missing)
    assert isinstance(symbolication_services.try_converter().convert(C.in_try()), Header)


@pytest.mark.usefixtures("only_in_try")
@pytest.mark.parametrize("version", ["v4", "v5"])
def test_v5_try_symbols_need_the_try_parameter(version: str) -> None:
    body = {"memoryMap": [list(C)], "stacks": [[[0, 0x1205]]], "version": 4}
    assert b"crash" not in post(version, body).content.replace(b"crash-c", b"")
    found = post(f"{version}?try", body).json()
    found = found["results"][0] if version == "v5" else found
    assert found["found_modules" if version == "v5" else "knownModules"] in ([True], {"/".join(C): True})


@pytest.mark.usefixtures("warm_modules")
def test_v5_with_try_prefers_regular_symbols() -> None:
    text = sample(C).replace(b"FUNC ", b"FUNC ").replace(b" crash", b" tried")
    storage_services.try_files().put(symbol_file(C), gzip_chunks([text]))
    assert isinstance(symbolication_services.try_converter().convert(C.in_try()), Header)
    body = {"memoryMap": [list(C)], "stacks": [[[0, 0x1205]]]}
    assert post("v5?try", body).content == post("v5", body).content


@pytest.mark.usefixtures("only_in_try")
def test_v5_with_try_unknown_module_is_absent() -> None:
    assert isinstance(symbolication_services.converter().convert(LIBC), Missing)
    assert isinstance(symbolication_services.try_converter().convert(LIBC.in_try()), Missing)
    reply = post("v5?try", {"memoryMap": [list(LIBC)], "stacks": [[[0, 0x1205]]]})
    assert reply.json()["results"][0]["found_modules"] == {"/".join(LIBC): False}


@pytest.mark.parametrize("version", ["v4", "v5"])
def test_errors_of_modules_have_no_address_of_a_directory(
    db: None, tmp_path: Path, settings: pytest_django.Settings, version: str
) -> None:
    """Neither that of the upstream, nor that of the own storage."""
    upstream = tmp_path / "up stream"
    file = upstream / str(symbol_file(C))
    file.parent.mkdir(parents=True)
    file.write_bytes(b"MODULE Linux x86_64 " + b"F" * 33 + b" crash-c\n")
    settings.SYMBOL_SOURCES = [f"file://{upstream}"]
    forget_parts()
    assert isinstance(symbolication_services.converter().convert(C), Missing)
    absent = symbolication_services.converter().convert(LIBC)
    assert isinstance(absent, Missing)
    assert str(upstream) in absent.reason
    job = {"memoryMap": [list(C), list(LIBC)], "stacks": [[[0, 1], [1, 1]]], "version": int(version[1])}
    reply = post(version, job, Debug="1")
    assert reply.status_code == 200
    assert str(tmp_path) not in reply.content.decode()
    if version == "v5":
        (error,) = orjson.loads(reply.content)["results"][0]["module_errors"][str(C)]
        assert error["message"].startswith("a source: the symbol file that it has sent is of another build")


@pytest.mark.parametrize("version", ["v4", "v5"])
def test_all_modules_unreachable_has_no_address_of_a_directory(
    db: None, tmp_path: Path, settings: pytest_django.Settings, version: str
) -> None:
    settings.SYMBOL_SOURCES = [f"file://{tmp_path}/gone"]
    forget_parts()
    symbolication_services.converter().convert(LIBC)
    reply = post(version, {"memoryMap": [list(LIBC)], "stacks": [[[0, 1]]], "version": int(version[1])})
    assert reply.status_code == 503
    assert str(tmp_path) not in reply.content.decode()
    assert "a source: no such bucket or directory" in reply.json()["error"]
