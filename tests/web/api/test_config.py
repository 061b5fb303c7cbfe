"""/api/config/: the runtime configuration for programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client

from tecken.errors import Unavailable
from tecken.runtimeconfig import current, service
from tecken.runtimeconfig.backend import Report, Values
from tecken.runtimeconfig.options import CATALOGUE
from tecken.runtimeconfig.snapshot import parse_setting
from tests.runtimeconfig.backends import MemoryBackend
from tests.web.api.people import key_of, person

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Reply

pytestmark = pytest.mark.django_db

CHANGE, VIEW = "runtimeconfig.change_option", "runtimeconfig.view_option"
WINDOW = "symbolicate_max_jobs@2030-01-01T22:00:00Z/2030-01-01T23:00:00Z"


@pytest.fixture(autouse=True)
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryBackend]:
    mine = MemoryBackend()
    monkeypatch.setattr(current, "backend", lambda: mine)
    yield mine
    current.reset()  # else its watcher goes on looking at this one


@pytest.fixture
def operator() -> dict[str, str]:
    return {"Auth-Token": key_of(person("op@example.com", CHANGE))}


@pytest.fixture
def viewer() -> dict[str, str]:
    return {"Auth-Token": key_of(person("viewer@example.com", VIEW))}


def patched(
    client: Client, headers: Mapping[str, str], changes: Mapping[str, object], **more: object
) -> Reply:
    body = {"changes": changes, **more}
    return client.patch("/api/config/", body, content_type="application/json", headers=dict(headers))


def option(client: Client, headers: dict[str, str], name: str) -> dict[str, Any]:
    options = client.get("/api/config/", headers=headers).json()["options"]
    return next(one for one in options if one["name"] == name)


def change(**changes: str | None) -> service.Outcome:
    return service.change(changes, by="somebody@example.com", why="a test", source="cli")


def test_every_option_is_there_with_its_default(client: Client, viewer: dict[str, str]) -> None:
    reply = client.get("/api/config/", headers=viewer)
    told = reply.json()
    assert reply["ETag"] == '"0"'
    assert told["version"] == 0
    assert [one["name"] for one in told["options"]] == list(CATALOGUE)
    assert option(client, viewer, "process_page_bytes") == {
        "name": "process_page_bytes",
        "group": "Memory of a process",
        "kind": "size",
        "text": None,
        "value": 64 * 1024 * 1024,
        "default": 64 * 1024 * 1024,
        "default_text": "64MiB",
        "bounds": dict(CATALOGUE["process_page_bytes"].bounds),
        "allowed": CATALOGUE["process_page_bytes"].allowed,
        "choices": [],
        "help": "Pages; the engine packs those that were not used lately.",
        "bad": "",
        "scheduled": [],
    }


@pytest.mark.parametrize(
    ("name", "given", "text", "value"),
    [
        ("symbolicate_max_jobs", 20, "20", 20),
        ("symbolicate_max_jobs", "20", "20", 20),
        ("symbolicate_deadline_seconds", 2.5, "2.5", 2.5),
        ("absent_seconds", "1h 30m", "1h 30m", 5400),
        ("process_page_bytes", "128MiB", "128MiB", 128 * 1024 * 1024),
        ("upload_convert_ahead", False, "false", False),
        ("upload_forbidden_snippets", ["a", "b"], '["a", "b"]', ["a", "b"]),
        ("upload_forbidden_snippets", [], "[]", []),
        ("log_level", "DEBUG", "DEBUG", "DEBUG"),
    ],
)
def test_a_value_or_its_text(
    client: Client, operator: dict[str, str], name: str, given: object, text: str, value: object
) -> None:
    reply = patched(client, operator, {name: given}, why="a test")
    assert reply.status_code == 200
    assert reply.json()["changed"] == {name: {"old": None, "new": text}}
    told = option(client, operator, name)
    assert (told["text"], told["value"]) == (text, value)


def test_several_are_one_version(client: Client, operator: dict[str, str], backend: MemoryBackend) -> None:
    change(log_level="DEBUG")
    reply = patched(client, operator, {"symbolicate_max_jobs": 20, "log_level": None})
    told = reply.json()
    assert told == {
        "version": 2,
        "stamp": told["stamp"],
        "distributed": True,
        "changed": {
            "log_level": {"old": "DEBUG", "new": None},
            "symbolicate_max_jobs": {"old": None, "new": "20"},
        },
    }
    assert backend.read() == Values(2, told["stamp"], {"symbolicate_max_jobs": "20"})


def test_a_window(client: Client, operator: dict[str, str]) -> None:
    assert patched(client, operator, {WINDOW: 2}).status_code == 200
    told = option(client, operator, "symbolicate_max_jobs")
    assert (told["text"], told["value"]) == (None, 10)
    assert told["scheduled"] == [
        {
            "entry": WINDOW,
            "start": "2030-01-01T22:00:00Z",
            "end": "2030-01-01T23:00:00Z",
            "text": "2",
            "bad": "",
        }
    ]
    patched(client, operator, {WINDOW: None})
    assert option(client, operator, "symbolicate_max_jobs")["scheduled"] == []


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("symbolicate_max_jobs", "many"),
        ("symbolicate_max_jobs", 0),
        ("symbolicate_max_jobs", True),
        ("symbolicate_max_jobs", [1]),
        ("symbolicate_max_jbos", 20),
        ("log_level", "LOUD"),
        ("symbolicate_max_jobs@tomorrow/", 20),
    ],
)
def test_a_bad_one_is_told_as_everywhere(
    client: Client, operator: dict[str, str], name: str, given: object
) -> None:
    reply = patched(client, operator, {name: given, "full_tracing": True})
    assert reply.status_code == 400
    with pytest.raises(Exception) as told:  # noqa: PT011 - its text is compared
        parse_setting(name, given if isinstance(given, str) else str(given).lower())
    assert reply.json() == {"error": str(told.value), "problems": {name: str(told.value)}}
    assert option(client, operator, "full_tracing")["text"] is None


def test_every_problem_is_told(client: Client, operator: dict[str, str]) -> None:
    reply = patched(client, operator, {"symbolicate_max_jobs": "many", "log_level": "LOUD", "nonsense": None})
    told = reply.json()
    assert set(told["problems"]) == {"symbolicate_max_jobs", "log_level", "nonsense"}
    assert sorted(told["error"].splitlines()) == sorted(told["problems"].values())


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
@pytest.mark.parametrize("field", ["changes", "why", "name"])
def test_what_a_database_cannot_hold(client: Client, operator: dict[str, str], field: str, text: str) -> None:
    body: dict[str, object] = {"changes": {"symbolicate_max_jobs": 20}}
    if field == "why":
        body["why"] = text
    else:
        body["changes"] = {"maintenance_message" if field == "changes" else text: text}
    reply = client.patch("/api/config/", body, content_type="application/json", headers=operator)
    assert reply.status_code == 400
    assert client.get("/api/config/", headers=operator).json()["version"] == 0


def test_nothing_is_no_change(client: Client, operator: dict[str, str]) -> None:
    reply = patched(client, operator, {})
    assert (reply.status_code, reply.json()["error"].partition(":")[0]) == (400, "changes")


def test_what_is_set_already_is_no_new_version(client: Client, operator: dict[str, str]) -> None:
    change(symbolicate_max_jobs="20")
    told = patched(client, operator, {"symbolicate_max_jobs": 20}).json()
    assert (told["version"], told["changed"]) == (1, {})


@pytest.mark.parametrize(
    ("headers", "more"), [({"If-Match": '"0"'}, {}), ({"If-Match": 'W/"0"'}, {}), ({}, {"version": 0})]
)
def test_somebody_was_faster(
    client: Client, operator: dict[str, str], headers: dict[str, str], more: dict[str, object]
) -> None:
    change(symbolicate_max_jobs="20")
    reply = patched(client, operator | headers, {"symbolicate_max_jobs": 30}, **more)
    assert reply.status_code == 409
    assert "somebody@example.com" in reply.json()["error"]
    assert option(client, operator, "symbolicate_max_jobs")["text"] == "20"


@pytest.mark.parametrize("tag", ['"1"', "1", 'W/"1"', "*"])
def test_nobody_was_faster(client: Client, operator: dict[str, str], tag: str) -> None:
    change(symbolicate_max_jobs="20")
    reply = patched(client, operator | {"If-Match": tag}, {"symbolicate_max_jobs": 30})
    assert reply.json()["version"] == 2


@pytest.mark.parametrize(
    ("tag", "version", "text"),
    [
        ('"abc"', None, 'If-Match: should be such as "8", not \'"abc"\''),
        ('"1"', 2, 'version: 2 and If-Match "1" are two versions'),
    ],
)
def test_a_version_that_is_none(
    client: Client, operator: dict[str, str], tag: str, version: int | None, text: str
) -> None:
    reply = patched(client, operator | {"If-Match": tag}, {"log_level": "INFO"}, version=version)
    assert (reply.status_code, reply.json()) == (400, {"error": text})


def test_who_changed_what(client: Client, viewer: dict[str, str], operator: dict[str, str]) -> None:
    change(log_level="DEBUG")
    patched(client, operator, {"log_level": None, WINDOW: "3"}, why="it was loud")
    told = client.get("/api/config/history/", headers=viewer).json()
    assert told["total"] == 3
    assert [(one["version"], one["entry"], one["old"], one["new"]) for one in told["changes"]] == [
        (2, WINDOW, None, "3"),
        (2, "log_level", "DEBUG", None),
        (1, "log_level", None, "DEBUG"),
    ]
    assert {key: told["changes"][1][key] for key in ("by", "why", "source")} == {
        "by": "op@example.com",
        "why": "it was loud",
        "source": "api",
    }
    of_one = client.get("/api/config/history/", {"option": "symbolicate_max_jobs"}, headers=viewer).json()
    assert [one["entry"] for one in of_one["changes"]] == [WINDOW]


def test_a_long_history_has_pages(client: Client, viewer: dict[str, str]) -> None:
    for number in range(52):
        change(symbolicate_max_jobs=str(number + 1))
    first = client.get("/api/config/history/", headers=viewer).json()
    second = client.get("/api/config/history/", {"after": first["next"]}, headers=viewer).json()
    assert [one["version"] for one in second["changes"]] == [2, 1]
    assert second["next"] is None


def test_one_version(client: Client, viewer: dict[str, str]) -> None:
    change(symbolicate_max_jobs="20")
    change(symbolicate_max_jobs="30", log_level="DEBUG")
    change(log_level=None)
    told = client.get("/api/config/versions/2/", headers=viewer).json()
    assert told["values"] == {"symbolicate_max_jobs": "30", "log_level": "DEBUG"}
    assert told["changed"] == {
        "symbolicate_max_jobs": {"old": "20", "new": "30"},
        "log_level": {"old": None, "new": "DEBUG"},
    }
    assert told["since"] == {"log_level": {"old": "DEBUG", "new": None}}
    assert (told["by"], told["why"], told["source"]) == ("somebody@example.com", "a test", "cli")


def test_no_such_version(client: Client, operator: dict[str, str]) -> None:
    missing = client.get("/api/config/versions/7/", headers=operator)
    assert (missing.status_code, missing.json()["error"]) == (404, "There is no version 7")
    reply = client.post(
        "/api/config/rollback/", {"version": 7}, content_type="application/json", headers=operator
    )
    assert reply.status_code == 404


def test_a_version_past_all_numbers(client: Client, operator: dict[str, str]) -> None:
    assert client.get(f"/api/config/versions/{9**40}/", headers=operator).status_code == 404
    reply = client.post(
        "/api/config/rollback/", {"version": 9**40}, content_type="application/json", headers=operator
    )
    assert reply.status_code == 404


def test_back_to_an_old_version(client: Client, operator: dict[str, str]) -> None:
    change(symbolicate_max_jobs="20")
    change(symbolicate_max_jobs="30", log_level="DEBUG")
    reply = client.post(
        "/api/config/rollback/",
        {"version": 1, "why": "too much"},
        content_type="application/json",
        headers=operator,
    )
    assert (reply.status_code, reply.json()["version"]) == (200, 3)
    told = client.get("/api/config/versions/3/", headers=operator).json()
    assert told["values"] == {"symbolicate_max_jobs": "20"}
    assert (told["by"], told["why"], told["source"]) == ("op@example.com", "too much", "rollback")


def undone(client: Client, headers: dict[str, str], **body: object) -> Any:
    return client.post("/api/config/undo/", body, content_type="application/json", headers=headers)


def test_undo_restores_what_one_version_changed(client: Client, operator: dict[str, str]) -> None:
    change(symbolicate_max_jobs="20", log_level="DEBUG")
    change(symbolicate_max_jobs="30")
    plan = client.get("/api/config/versions/1/", headers=operator).json()["undo"]
    assert plan == {
        "changes": {"log_level": {"old": "DEBUG", "new": None}},
        "later": {"symbolicate_max_jobs": {"old": "30", "new": None}},
        "left_out": {},
    }
    refused = undone(client, operator, version=1)
    assert (refused.status_code, refused.json()["error"]) == (
        409,
        "symbolicate_max_jobs: changed again after version 1. "
        "Choose to keep the later values, or to overwrite them.",
    )
    reply = undone(client, operator, version=1, later="keep", why="too loud")
    assert (reply.status_code, reply.json()["changed"]) == (200, plan["changes"])
    made = client.get("/api/config/versions/3/", headers=operator).json()
    assert (made["by"], made["why"], made["source"]) == ("op@example.com", "too loud", "api")
    assert undone(client, operator, version=7).status_code == 404
    assert undone(client, operator, version=9**40).status_code == 404
    assert undone(client, operator, version=1, later="maybe").status_code == 400


def test_maintenance_begins_and_ends(client: Client, operator: dict[str, str]) -> None:
    url = "/api/config/maintenance/"
    assert client.get(url, headers=operator).json() == {"full": None, "uploads": None}
    wanted = {"message": "A disk is changed.", "retry_after": 600, "until": "2030-01-01T23:00:00Z"}
    begun = client.put(url, wanted, content_type="application/json", headers=operator).json()
    assert begun["uploads"] is None
    assert begun["full"] == wanted | {"by": "op@example.com", "since": begun["full"]["since"]}
    client.put(url, {"level": "uploads"}, content_type="application/json", headers=operator)
    assert client.delete(url, headers=operator).status_code == 204
    now = client.get(url, headers=operator).json()
    assert (now["full"], now["uploads"]["message"]) == (None, "")
    client.delete(f"{url}?level=uploads", headers=operator)
    assert client.get(url, headers=operator).json() == {"full": None, "uploads": None}


def test_maintenance_by_hand_is_shown(client: Client, viewer: dict[str, str], backend: MemoryBackend) -> None:
    backend.set_maintenance("full", "x", None)
    told = client.get("/api/config/maintenance/", headers=viewer).json()["full"]
    assert told == {"message": "", "retry_after": None, "until": None, "by": "", "since": None}


@pytest.mark.parametrize(
    "wanted", [{"level": "half"}, {"until": "2001-01-01T00:00:00Z"}, {"until": "23:00"}, {"retry_after": 0}]
)
def test_maintenance_that_cannot_be(
    client: Client, operator: dict[str, str], wanted: dict[str, object], backend: MemoryBackend
) -> None:
    reply = client.put("/api/config/maintenance/", wanted, content_type="application/json", headers=operator)
    assert reply.status_code == 400
    assert backend.head().maintenance is None


def test_who_has_applied_what(client: Client, viewer: dict[str, str], backend: MemoryBackend) -> None:
    made = change(log_level="DEBUG")
    backend.report(Report("a:1", "web", made.version, made.stamp, 0.2, 0))
    backend.report(Report("a:2", "worker", 0, "", 7.5, 1))
    backend.report(Report("a:3", "command", 0, "", 0.0, 0))
    told = client.get("/api/config/processes/", headers=viewer).json()
    assert (told["version"], told["applied"]) == (1, 1), told
    assert told["processes"] == [
        {"process": "a:1", "kind": "web", "version": 1, "applied": True, "age": 0.2, "bad": 0},
        {"process": "a:2", "kind": "worker", "version": 0, "applied": False, "age": 7.5, "bad": 1},
    ]


class Away(MemoryBackend):
    def read(self) -> Values:
        raise Unavailable("Redis does not answer")


def test_it_is_recorded_while_redis_is_away(
    client: Client, operator: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(current, "backend", Away)
    assert patched(client, operator, {"log_level": "DEBUG"}).json()["distributed"] is False
    assert option(client, operator, "log_level")["text"] == "DEBUG"


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("patch", "/api/config/"),
        ("post", "/api/config/rollback/"),
        ("post", "/api/config/undo/"),
        ("put", "/api/config/maintenance/"),
        ("delete", "/api/config/maintenance/"),
    ],
)
def test_to_look_is_not_to_change(client: Client, viewer: dict[str, str], method: str, url: str) -> None:
    reply = getattr(client, method)(url, {}, content_type="application/json", headers=viewer)
    assert (reply.status_code, reply.json()) == (403, {"error": f"This needs the permission {CHANGE}"})


@pytest.mark.parametrize(
    "url",
    [
        "/api/config/",
        "/api/config/history/",
        "/api/config/versions/1/",
        "/api/config/maintenance/",
        "/api/config/processes/",
    ],
)
def test_not_everybody_may_look(client: Client, url: str) -> None:
    headers = {"Auth-Token": key_of(person("a@example.com", "upload.upload_symbols"))}
    reply = client.get(url, headers=headers)
    assert (reply.status_code, reply.json()) == (
        403,
        {"error": f"This needs the permission {CHANGE} or {VIEW}"},
    )
    assert client.get(url).status_code == 403
