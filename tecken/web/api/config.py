"""Operations for the runtime configuration: values, their history, maintenance and processes."""

# ruff: noqa: ARG001 - ninja passes the request to each operation

from __future__ import annotations

import re
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Field, Query, Router, Schema, Status
from pydantic import AwareDatetime, JsonValue

from tecken.errors import BadOption, InvalidInput
from tecken.http.responses import error_reply
from tecken.runtimeconfig import current, service
from tecken.runtimeconfig.models import Version
from tecken.runtimeconfig.option import to_text
from tecken.runtimeconfig.snapshot import build_rows, find_unknown, list_processes
from tecken.runtimeconfig.undo import Later, plan_undo, undo
from tecken.web.api.openapi import TokenPermission, error_responses, grant_of
from tecken.web.lists import Paged, Paging, check_storable, load_page, sort_field

CHANGE, VIEW = "runtimeconfig.change_option", "runtimeconfig.view_option"
SORTS = ("id",)
SOURCES: list[JsonValue] = ["cli", "api", "page", "redis", "file", "rollback", "import"]

Reason = Annotated[str, Field(max_length=service.LONGEST_REASON, description="for the history")]

router = Router(tags=["configuration"], auth=TokenPermission(CHANGE, VIEW))
changing = TokenPermission(CHANGE)


class ScheduledEntry(Schema):
    """Text of an option for a window of time."""

    entry: str = Field(alias="key", description="change or unset it by this name")
    start: datetime | None
    end: datetime | None
    text: str
    bad: str


class OptionRow(Schema):
    """Option with its text and its value in force."""

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
    """Options, and the state of the process that responds."""

    version: int
    stamp: str
    age: float = Field(description="seconds since the process that responds last reached the configuration")
    stale: bool = Field(description="longer than it should be")
    process_version: int = Field(description="what that process has applied")
    options: list[OptionRow]
    unknown: dict[str, str] = Field(description="entries of options that do not exist (any more)")


class Changes(Schema):
    """Body of a request to change options."""

    changes: dict[str, Any] = Field(
        min_length=1, examples=[{"symbolicate_max_jobs": 20, "log_level": None}], description="null unsets"
    )
    why: Reason = ""
    version: int | None = Field(
        None, ge=0, description="409 when there is a newer one; `If-Match` has the same effect"
    )


class Difference(Schema):
    """Text of an entry before and after. Null: it is not set."""

    old: str | None
    new: str | None


class Changed(Schema):
    """Result of a change."""

    version: int
    stamp: str
    changed: dict[str, Difference]
    distributed: bool = Field(description="false: recorded; Redis did not answer and gets it later")


class ChangeRow(Schema):
    """Change of one entry."""

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
    """Paging of changes."""

    sort: str | None = sort_field(SORTS)


class History(Paged):
    """Page of changes."""

    changes: list[ChangeRow]


class PlannedUndo(Schema):
    """Changes that an undo would make."""

    changes: dict[str, Difference]
    later: dict[str, Difference] = Field(description="of entries that were changed again since")
    left_out: dict[str, str] = Field(description="why an entry cannot be restored")


class WholeVersion(Schema):
    """Version with all its texts."""

    version: int = Field(alias="number")
    stamp: str
    at: datetime
    by: str
    why: str
    source: str = Field(json_schema_extra={"enum": SOURCES})
    values: dict[str, str] = Field(description="all that was set then: entry -> text")
    changed: dict[str, Difference] = Field(description="by this version")
    since: dict[str, Difference] = Field(description="from this version until now")
    undo: PlannedUndo = Field(description="what `POST /api/config/undo/` would change now")

    @staticmethod
    def resolve_since(version: Version) -> object:
        """Return the value of `since`."""
        return service.difference(version.values, service.newest().values)

    @staticmethod
    def resolve_undo(version: Version) -> object:
        """Return the value of `undo`."""
        return plan_undo(version, service.newest().values, timezone.now())


class Rollback(Schema):
    """Body of a request to roll back."""

    to: int = Field(ge=0, alias="version")
    why: Reason = ""


class Undo(Schema):
    """Body of a request to undo a version."""

    undone: int = Field(ge=1, alias="version")
    why: Reason = ""
    later: Later | None = Field(
        None, description="for entries that were changed again since; without it they are a 409"
    )


class State(Schema):
    """State of maintenance."""

    message: str
    retry_after: float | None
    until: datetime | None
    by: str
    since: datetime | None


class MaintenanceState(Schema):
    """Maintenance of both levels. Null: the level is open."""

    full: State | None
    uploads: State | None = Field(description="uploads are closed, downloads and symbolication open")


class NewMaintenance(Schema):
    """Body of a request to begin maintenance."""

    level: Literal["full", "uploads"] = "full"
    message: str = Field("", max_length=500)
    retry_after: float | None = Field(None, ge=1, le=86_400, description="seconds")
    until: AwareDatetime | None = Field(None, examples=["2026-11-21T23:00:00Z"])


class Process(Schema):
    """Configuration of one process."""

    process: str = Field(description="host:pid")
    kind: str
    version: int
    applied: bool
    age: float
    bad: int


class Processes(Schema):
    """Configuration of all processes."""

    version: int
    stamp: str
    applied: int
    processes: list[Process]


@router.get("", response=Configuration, summary="Every option")
def show_configuration(request: HttpRequest, response: HttpResponse) -> object:
    """Return all options with their texts, values and bounds."""
    snapshot, state = service.newest().snapshot, current.state()
    # A change that sends this tag in `If-Match` fails if another one was made after this response.
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
    """Change options in one version, or none of them."""
    changes = {key: None if value is None else to_text(value) for key, value in payload.changes.items()}
    expected, author = _expected(request, payload.version), _author(request, "api", payload.why)
    try:
        return service.change(changes, expected=expected, **author)
    except BadOption as error:
        # A JSON body may hold a lone surrogate, which cannot be part of a response.
        problems = {
            key.encode(errors="backslashreplace").decode(): error.problems[key] for key in error.problems
        }
        return error_reply(HTTPStatus.BAD_REQUEST, str(error), problems=problems)


@router.get("history/", response=History, summary="Who changed what")
def list_history(request: HttpRequest, paging: Query[HistoryPaging], option: str | None = None) -> object:
    """Return a page of the changes of all options, or of one."""
    changes = service.find_changes(None if option is None else check_storable("option", option))
    return load_page(changes, paging, SORTS).to_response("changes")


@router.get("versions/{int:number}/", response=WholeVersion, summary="One version")
def show_version(request: HttpRequest, number: int) -> object:
    """Return one version, and its differences to the present values."""
    return service.find_version(number)


@router.post(
    "rollback/",
    response=Changed,
    auth=changing,
    summary="Make all values what they were",
    openapi_extra=error_responses(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
)
def roll_back(request: HttpRequest, payload: Rollback) -> object:
    """Record a new version with the values of an old one."""
    expected = _expected(request, None)
    return service.rollback(payload.to, expected=expected, **_author(request, "rollback", payload.why))


@router.post(
    "undo/",
    response=Changed,
    auth=changing,
    summary="Restore what one version changed",
    openapi_extra=error_responses(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
)
def undo_version(request: HttpRequest, payload: Undo) -> object:
    """Record a new version that restores only what one version changed, and keeps later versions."""
    expected, author = _expected(request, None), _author(request, "api", payload.why)
    return undo(payload.undone, later=payload.later, expected=expected, **author)


@router.get("maintenance/", response=MaintenanceState, summary="Is the site under maintenance?")
def show_maintenance(request: HttpRequest) -> object:
    """Return the maintenance of the site and of uploads."""
    return current.backend().head().levels


@router.put("maintenance/", response=MaintenanceState, auth=changing, summary="Begin maintenance")
def begin_maintenance(request: HttpRequest, payload: NewMaintenance) -> object:
    """Close the site, or uploads only. Every process applies it within a second."""
    author = _author(request, "api")["by"]
    service.begin_maintenance(payload.level, payload.message, payload.retry_after, payload.until, author)
    return show_maintenance(request)


@router.delete(
    "maintenance/", response={HTTPStatus.NO_CONTENT: None}, auth=changing, summary="End maintenance"
)
def end_maintenance(request: HttpRequest, level: Literal["full", "uploads"] = "full") -> object:
    """Open the site, or uploads."""
    service.end_maintenance(level)
    return Status(HTTPStatus.NO_CONTENT, None)


@router.get(
    "processes/",
    response=Processes,
    summary="Which process has applied what",
    operation_id="tecken_api_config_list_processes",
)
def show_processes(request: HttpRequest) -> object:
    """Return the version that each process applies."""
    newest = service.newest()
    processes = list_processes(current.backend().reports(), newest.number, newest.stamp)
    return {
        "version": newest.number,
        "stamp": newest.stamp,
        "applied": sum(applied for _report, applied in processes),
        "processes": [report._asdict() | {"applied": applied} for report, applied in processes],
    }


def _author(request: HttpRequest, source: str, why: str = "") -> service.Author:
    user = grant_of(request).user
    return {"by": user.email or user.get_username(), "user": user, "why": why, "source": source}


def _expected(request: HttpRequest, version: int | None) -> int | None:
    """Return the version that the change was made from; `If-Match: "8"` and `version` are equivalent."""
    tag = request.headers.get("If-Match", "*").strip()
    if tag == "*":
        return version
    # More digits do not fit into the column, and the database would refuse the query.
    digits = re.fullmatch(r'(?:W/)?"?([0-9]{1,18})"?', tag)
    if digits is None:
        raise InvalidInput(f'If-Match: should be such as "8", not {tag!r}')
    if version not in (None, int(digits[1])):
        raise InvalidInput(f"version: {version} and If-Match {tag} are two versions")
    return int(digits[1])
