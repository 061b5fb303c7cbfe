"""The runtime configuration: what is set, by whom, and which process has it."""

# ruff: noqa: ARG001 - ninja hands each operation its request

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Field, Query, Router, Schema, Status
from pydantic import AwareDatetime, JsonValue

from tecken.errors import Absent, BadInput, BadOption
from tecken.http.responses import error_reply
from tecken.runtimeconfig import current, history, service
from tecken.runtimeconfig.maintenance import Maintenance, parse
from tecken.runtimeconfig.models import Change, Version
from tecken.runtimeconfig.option import at_text
from tecken.runtimeconfig.shown import Row, applied, problems, rows, strays
from tecken.runtimeconfig.snapshot import Snapshot, snapshot
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
    entry: str = Field(description="change or unset it by this name")
    start: datetime | None
    end: datetime | None
    text: str
    bad: str


class OptionRow(Schema):
    name: str
    group: str
    kind: str
    text: str | None = Field(description="what was set; null: the default is in force")
    value: Any = Field(description="in force now, in seconds and bytes")
    default: Any
    default_text: str
    bounds: dict[str, Any]
    allowed: str = Field(description="what it may be, in words")
    choices: list[str]
    help: str
    bad: str = Field(description="why the text is not in force; mostly empty")
    scheduled: list[ScheduledEntry]


class Configuration(Schema):
    version: int
    stamp: str
    age: float = Field(description="seconds since the process that answers last heard of the configuration")
    stale: bool = Field(description="longer than it should be")
    process_version: int = Field(description="what that process has applied")
    options: list[OptionRow]
    unknown: dict[str, str] = Field(description="entries of options that are no more")


class Changes(Schema):
    changes: dict[str, Any] = Field(
        min_length=1, examples=[{"symbolicate_max_jobs": 20, "log_level": None}], description="null unsets"
    )
    why: Reason = ""
    version: int | None = Field(
        None, ge=0, description="409 when there is a newer one; `If-Match` says it too"
    )


class Difference(Schema):
    old: str | None
    new: str | None


class Changed(Schema):
    version: int
    stamp: str
    changed: dict[str, Difference]
    distributed: bool = Field(description="false: recorded; Redis did not answer and gets it later")


class ChangeRow(Schema):
    id: int
    version: int
    entry: str
    old: str | None
    new: str | None
    by: str
    why: str
    at: datetime
    source: str = Field(json_schema_extra={"enum": SOURCES})

    @staticmethod
    def resolve_version(change: Change) -> int:
        return change.version.number

    @staticmethod
    def resolve_by(change: Change) -> str:
        return change.version.by

    @staticmethod
    def resolve_why(change: Change) -> str:
        return change.version.why

    @staticmethod
    def resolve_at(change: Change) -> datetime:
        return change.version.at

    @staticmethod
    def resolve_source(change: Change) -> str:
        return change.version.source


class HistoryPaging(Paging):
    sort: str | None = sort_field(SORTS)


class History(Paged):
    changes: list[ChangeRow]


class WholeVersion(Schema):
    version: int
    stamp: str
    at: datetime
    by: str
    why: str
    source: str = Field(json_schema_extra={"enum": SOURCES})
    values: dict[str, str] = Field(description="all that was set then: entry -> text")
    changed: dict[str, Difference] = Field(description="by this version")
    since: dict[str, Difference] = Field(description="from this version until now")


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
    newest, state = _newest(), current.state()
    response["ETag"] = f'"{newest.version}"'
    return {
        "version": newest.version,
        "stamp": newest.stamp,
        "age": state.age,
        "stale": state.stale,
        "process_version": state.version,
        "options": [_option(row) for row in rows(newest, timezone.now())],
        "unknown": strays(newest),
    }


@router.patch(
    "",
    response=Changed,
    auth=changing,
    summary="Change options, all or none",
    openapi_extra=error_responses(HTTPStatus.CONFLICT),
)
def change_configuration(request: HttpRequest, payload: Changes) -> object:
    changes = {key: None if given is None else at_text(given) for key, given in payload.changes.items()}
    user, expected = grant_of(request).user, _expected(request, payload.version)
    try:
        outcome = service.change(
            changes, by=_name(request), user=user, why=payload.why, source="api", expected=expected
        )
    except BadOption as error:
        wrong = problems(changes, _newest().texts)
        told = {key.encode(errors="backslashreplace").decode(): text for key, text in wrong.items()}
        return error_reply(HTTPStatus.BAD_REQUEST, str(error), problems=told)
    return _changed(outcome)


@router.get("history/", response=History, summary="Who changed what")
def list_history(request: HttpRequest, paging: Query[HistoryPaging], option: str | None = None) -> object:
    wanted = None if option is None else check_storable("option", option)
    changes = service.history(wanted).select_related("version")
    return load_page(changes, paging, SORTS).to_response("changes")


@router.get("versions/{int:number}/", response=WholeVersion, summary="One version")
def show_version(request: HttpRequest, number: int) -> object:
    version = Version.objects.filter(number=number).prefetch_related("changes").first()
    if version is None:
        raise Absent(f"There is no version {number}")
    return {
        "version": version.number,
        "stamp": version.stamp,
        "at": version.at,
        "by": version.by,
        "why": version.why,
        "source": version.source,
        "values": version.values,
        "changed": {one.entry: {"old": one.old, "new": one.new} for one in version.changes.all()},
        "since": _differences(service.diff(number, _newest().version)),
    }


@router.post(
    "rollback/",
    response=Changed,
    auth=changing,
    summary="Make all values what they were",
    openapi_extra=error_responses(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
)
def roll_back(request: HttpRequest, payload: Rollback) -> object:
    """A new version with the values of an old one: history only grows."""
    outcome = service.rollback(
        payload.to,
        by=_name(request),
        user=grant_of(request).user,
        why=payload.why,
        expected=_expected(request, None),
    )
    return _changed(outcome)


@router.get("maintenance/", response=MaintenanceState, summary="Is the site under maintenance?")
def show_maintenance(request: HttpRequest) -> object:
    glance = current.shelf().glance()
    return {"full": _state(glance.maintenance), "uploads": _state(glance.uploads_closed)}


@router.put("maintenance/", response=MaintenanceState, auth=changing, summary="Begin maintenance")
def begin_maintenance(request: HttpRequest, payload: NewMaintenance) -> object:
    service.begin_maintenance(
        payload.level, payload.message, payload.retry_after, payload.until, _name(request)
    )
    return show_maintenance(request)


@router.delete(
    "maintenance/", response={HTTPStatus.NO_CONTENT: None}, auth=changing, summary="End maintenance"
)
def end_maintenance(request: HttpRequest, level: Literal["full", "uploads"] = "full") -> object:
    service.end_maintenance(level)
    return Status(HTTPStatus.NO_CONTENT, None)


@router.get("processes/", response=Processes, summary="Which process has applied what")
def list_processes(request: HttpRequest) -> object:
    newest = _newest()
    reports = applied(current.shelf().reports(), newest.version, newest.stamp)
    return {
        "version": newest.version,
        "stamp": newest.stamp,
        "applied": sum(has for _report, has in reports),
        "processes": [report._asdict() | {"applied": has} for report, has in reports],
    }


def _newest() -> Snapshot:
    version = history.newest()
    return snapshot(version.number, version.stamp, version.values)


def _option(row: Row) -> dict[str, object]:
    option = row.option
    return {
        "name": option.name,
        "group": option.group,
        "kind": option.kind,
        "text": row.text,
        "value": row.value,
        "default": option.default,
        "default_text": option.shown(option.default),
        "bounds": option.bounds,
        "allowed": option.allowed,
        "choices": option.choices,
        "help": option.text,
        "bad": row.bad,
        "scheduled": [one._asdict() | {"entry": one.key} for one in row.scheduled],
    }


def _changed(outcome: service.Outcome) -> dict[str, object]:
    return outcome._asdict() | {"changed": _differences(outcome.changed)}


def _differences(changed: Any) -> dict[str, dict[str, str | None]]:
    return {key: {"old": old, "new": new} for key, (old, new) in changed.items()}


def _name(request: HttpRequest) -> str:
    user = grant_of(request).user
    return user.email or user.get_username()


def _expected(request: HttpRequest, version: int | None) -> int | None:
    """The version that the change was made from; `If-Match: "8"` and `version` mean the same."""
    tag = request.headers.get("If-Match", "*").strip()
    if tag == "*":
        return version
    digits = tag.removeprefix("W/").strip('"')
    if not (digits.isascii() and digits.isdigit() and len(digits) < 19):
        raise BadInput(f'If-Match: should be such as "8", not {tag!r}')
    if version not in (None, int(digits)):
        raise BadInput(f"version: {version} and If-Match {tag} are two versions")
    return int(digits)


def _state(text: str | None) -> Maintenance | None:
    return None if text is None else parse(text)
