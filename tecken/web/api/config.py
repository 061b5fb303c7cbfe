"""Runtime configuration: what is set, who set it, and which processes have it."""

# ruff: noqa: ARG001 - ninja passes the request to each operation

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Field, Query, Router, Schema, Status
from pydantic import AwareDatetime, JsonValue

from tecken.errors import BadOption, InvalidInput, NotFound
from tecken.http.responses import error_reply
from tecken.runtimeconfig import current, history, service
from tecken.runtimeconfig.models import Version
from tecken.runtimeconfig.option import to_text
from tecken.runtimeconfig.presentation import build_rows, find_unknown, list_processes
from tecken.runtimeconfig.snapshot import Snapshot, find_problems
from tecken.web.api.auth import TokenPermission, grant_of
from tecken.web.api.description import error_responses
from tecken.web.api.filters import check_storable
from tecken.web.api.paging import Paged, Paging, load_page, sort_field

CHANGE, VIEW = "runtimeconfig.change_option", "runtimeconfig.view_option"
SORTS = ("id",)
SOURCES: list[JsonValue] = ["cli", "api", "page", "redis", "file", "rollback", "import"]

Reason = Annotated[str, Field(max_length=service.LONGEST_REASON, description="for the history")]

router = Router(tags=["configuration"], auth=TokenPermission(CHANGE, VIEW))
changing = TokenPermission(CHANGE)


class ScheduledEntry(Schema):
    entry: str = Field(alias="key", description="change or unset it by this name")
    start: datetime | None
    end: datetime | None
    text: str
    bad: str


class OptionRow(Schema):
    name: str = Field(alias="option.name")
    group: str = Field(alias="option.group")
    kind: str = Field(alias="option.kind")
    text: str | None = Field(description="what was set; null: the default is in force")
    value: Any = Field(description="in force now, in seconds and bytes")
    default: Any = Field(alias="option.default")
    default_text: str = Field(alias="option.default_text")
    bounds: dict[str, Any] = Field(alias="option.bounds")
    allowed: str = Field(alias="option.allowed", description="what it may be, in words")
    choices: list[str] = Field(alias="option.choices")
    help: str = Field(alias="option.text")
    bad: str = Field(description="why the text is not in force; mostly empty")
    scheduled: list[ScheduledEntry]


class Configuration(Schema):
    version: int
    stamp: str
    age: float = Field(description="seconds since the process that responds last reached the configuration")
    stale: bool = Field(description="longer than it should be")
    process_version: int = Field(description="what that process has applied")
    options: list[OptionRow]
    unknown: dict[str, str] = Field(description="entries of options that do not exist (any more)")


class Changes(Schema):
    changes: dict[str, Any] = Field(
        min_length=1, examples=[{"symbolicate_max_jobs": 20, "log_level": None}], description="null unsets"
    )
    why: Reason = ""
    version: int | None = Field(
        None, ge=0, description="409 when there is a newer one; `If-Match` has the same effect"
    )


class Difference(Schema):
    old: str | None
    new: str | None


class Changed(Schema):
    version: int
    stamp: str
    changed: dict[str, Difference]
    distributed: bool = Field(description="false: recorded; Redis did not answer and gets it later")

    @staticmethod
    def resolve_changed(outcome: service.Outcome) -> dict[str, dict[str, str | None]]:
        return _differences((key, *texts) for key, texts in outcome.changed.items())


class ChangeRow(Schema):
    id: int
    version: int = Field(alias="version.number")
    entry: str
    old: str | None
    new: str | None
    by: str = Field(alias="version.by")
    why: str = Field(alias="version.why")
    at: datetime = Field(alias="version.at")
    source: str = Field(alias="version.source", json_schema_extra={"enum": SOURCES})


class HistoryPaging(Paging):
    sort: str | None = sort_field(SORTS)


class History(Paged):
    changes: list[ChangeRow]


class WholeVersion(Schema):
    version: int = Field(alias="number")
    stamp: str
    at: datetime
    by: str
    why: str
    source: str = Field(json_schema_extra={"enum": SOURCES})
    values: dict[str, str] = Field(description="all that was set then: entry -> text")
    changed: dict[str, Difference] = Field(description="by this version")
    since: dict[str, Difference] = Field(description="from this version until now")

    @staticmethod
    def resolve_changed(version: Version) -> dict[str, dict[str, str | None]]:
        return _differences(version.changes.values_list("entry", "old", "new"))

    @staticmethod
    def resolve_since(version: Version) -> dict[str, dict[str, str | None]]:
        since = history.difference(version.values, history.newest().values)
        return _differences((key, *texts) for key, texts in since.items())


class Rollback(Schema):
    to: int = Field(ge=0, alias="version")
    why: Reason = ""


class State(Schema):
    message: str
    retry_after: float | None
    until: datetime | None
    by: str
    since: datetime | None


class MaintenanceState(Schema):
    full: State | None
    uploads: State | None = Field(description="uploads are closed, downloads and symbolication open")


class NewMaintenance(Schema):
    level: Literal["full", "uploads"] = "full"
    message: str = Field("", max_length=500)
    retry_after: float | None = Field(None, ge=1, le=86_400, description="seconds")
    until: AwareDatetime | None = Field(None, examples=["2026-11-21T23:00:00Z"])


class Process(Schema):
    process: str = Field(description="host:pid")
    kind: str
    version: int
    applied: bool
    age: float
    bad: int


class Processes(Schema):
    version: int
    stamp: str
    applied: int
    processes: list[Process]


@router.get("", response=Configuration, summary="Every option")
def show_configuration(request: HttpRequest, response: HttpResponse) -> object:
    snapshot, state = _newest(), current.state()
    response["ETag"] = f'"{snapshot.version}"'
    return {
        "version": snapshot.version,
        "stamp": snapshot.stamp,
        "age": state.age,
        "stale": state.stale,
        "process_version": state.version,
        "options": build_rows(snapshot, timezone.now()),
        "unknown": find_unknown(snapshot),
    }


@router.patch(
    "",
    response=Changed,
    auth=changing,
    summary="Change options, all or none",
    openapi_extra=error_responses(HTTPStatus.CONFLICT),
)
def change_configuration(request: HttpRequest, payload: Changes) -> object:
    changes = {key: None if value is None else to_text(value) for key, value in payload.changes.items()}
    expected, author = _expected(request, payload.version), _author(request, "api", payload.why)
    try:
        return service.change(changes, expected=expected, **author)
    except BadOption as error:
        problems = find_problems(changes, _newest().texts)
        printable = {key.encode(errors="backslashreplace").decode(): text for key, text in problems.items()}
        return error_reply(HTTPStatus.BAD_REQUEST, str(error), problems=printable)


@router.get("history/", response=History, summary="Who changed what")
def list_history(request: HttpRequest, paging: Query[HistoryPaging], option: str | None = None) -> object:
    changes = history.find_changes(None if option is None else check_storable("option", option))
    return load_page(changes, paging, SORTS).to_response("changes")


@router.get("versions/{int:number}/", response=WholeVersion, summary="One version")
def show_version(request: HttpRequest, number: int) -> object:
    version = Version.objects.filter(number=number).first()
    if version is None:
        raise NotFound(f"There is no version {number}")
    return version


@router.post(
    "rollback/",
    response=Changed,
    auth=changing,
    summary="Make all values what they were",
    openapi_extra=error_responses(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
)
def roll_back(request: HttpRequest, payload: Rollback) -> object:
    """A new version with the values of an old one: history only grows."""
    expected = _expected(request, None)
    return service.rollback(payload.to, expected=expected, **_author(request, "rollback", payload.why))


@router.get("maintenance/", response=MaintenanceState, summary="Is the site under maintenance?")
def show_maintenance(request: HttpRequest) -> object:
    return current.backend().head().levels


@router.put("maintenance/", response=MaintenanceState, auth=changing, summary="Begin maintenance")
def begin_maintenance(request: HttpRequest, payload: NewMaintenance) -> object:
    author = _author(request, "api")["by"]
    service.begin_maintenance(payload.level, payload.message, payload.retry_after, payload.until, author)
    return show_maintenance(request)


@router.delete(
    "maintenance/", response={HTTPStatus.NO_CONTENT: None}, auth=changing, summary="End maintenance"
)
def end_maintenance(request: HttpRequest, level: Literal["full", "uploads"] = "full") -> object:
    service.end_maintenance(level)
    return Status(HTTPStatus.NO_CONTENT, None)


@router.get(
    "processes/",
    response=Processes,
    summary="Which process has applied what",
    operation_id="tecken_api_config_list_processes",
)
def show_processes(request: HttpRequest) -> object:
    snapshot = _newest()
    processes = list_processes(current.backend().reports(), snapshot.version, snapshot.stamp)
    return {
        "version": snapshot.version,
        "stamp": snapshot.stamp,
        "applied": sum(applied for _report, applied in processes),
        "processes": [report._asdict() | {"applied": applied} for report, applied in processes],
    }


def _newest() -> Snapshot:
    version = history.newest()
    return Snapshot(version.number, version.stamp, version.values)


def _differences(changes: Iterable[tuple[str, str | None, str | None]]) -> dict[str, dict[str, str | None]]:
    return {entry: {"old": old, "new": new} for entry, old, new in changes}


def _author(request: HttpRequest, source: str, why: str = "") -> history.Author:
    user = grant_of(request).user
    return {"by": user.email or user.get_username(), "user": user, "why": why, "source": source}


def _expected(request: HttpRequest, version: int | None) -> int | None:
    """Return the version that the change was made from; `If-Match: "8"` and `version` are equivalent."""
    tag = request.headers.get("If-Match", "*").strip()
    if tag == "*":
        return version
    digits = tag.removeprefix("W/").strip('"')
    if not (digits.isascii() and digits.isdigit() and len(digits) < 19):
        raise InvalidInput(f'If-Match: should be such as "8", not {tag!r}')
    if version not in (None, int(digits)):
        raise InvalidInput(f"version: {version} and If-Match {tag} are two versions")
    return int(digits)
