"""Round trip of a debug file through the site: upload, symbolication, download and deletion.

The file is made for the run, with a random debug id, so that nothing else has it. The deletion runs in this
process, because the site has no request for it. It also runs after a step that failed; files of a run that
was killed are removed by a later one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from secrets import token_hex
from typing import Any, NamedTuple

import httpx
from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone

from tecken.doctor.checks import CheckEnded, CheckFinding, failed, ok, skipped
from tecken.doctor.visitor import STALE_AFTER, Visitor, load_authorities, temporary_token
from tecken.errors import TeckenError, Unavailable
from tecken.runtimeconfig import current
from tecken.storage import services as storage_services
from tecken.storage.backends.bucket import bucket_for
from tecken.storage.models import SymbolFile
from tecken.symbolication import services as symbolication_services
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import page_path, storage_path, symbol_file

DEBUG_FILE = "tecken-doctor"
FUNCTION, SOURCE, LINE = "tecken_doctor_round_trip", "doctor.c", 7
OFFSET = 0x1008
PERMISSION = "upload.upload_symbols"
TRIP_SECONDS = 30.0
PAUSE_SECONDS = 0.3
CONFLICT = "Run the command with the settings of this site, above all DATABASE_URL."
LEFT_BEHIND = "Run the command again in 15 minutes: it removes what is left of earlier runs."


class Step(NamedTuple):
    """Step that succeeded, and its seconds."""

    name: str
    seconds: float


def check_round_trip(url: str, in_site: bool, seconds: float = TRIP_SECONDS) -> CheckFinding:
    """Return whether a debug file gets through upload, symbolication, download and deletion."""
    if settings.DEMO_MODE and not (url or in_site):
        return skipped("DEMO_MODE: jobs run in the web process.", "Give --url http://127.0.0.1:8000.")
    if current.is_under_maintenance() or current.uploads_closed():
        return skipped("Uploads are closed: the site is under maintenance.")
    module = ObjectId(DEBUG_FILE, token_hex(16).upper() + "0")
    steps: list[Step] = []
    remove_stale_files()
    try:
        with Visitor(url, seconds) as visitor, temporary_token(PERMISSION) as token:
            try:
                _travel(visitor, token, module, steps)
            finally:
                with _timed(steps, "deleted"):
                    remove_module(module)
    except CheckEnded as end:
        return end.finding._replace(text=f"{end.finding.text} {_describe(steps)}".rstrip())
    except (TeckenError, DatabaseError) as error:
        return failed(f"The debug file could not be deleted: {type(error).__name__}.", LEFT_BEHIND)
    return ok(_describe(steps))


def _travel(visitor: Visitor, token: str, module: ObjectId, steps: list[Step]) -> None:
    with _timed(steps, "uploaded"):
        _upload(visitor, token, module)
    with _timed(steps, "symbolicated"):
        _symbolicate(visitor, module)
    with _timed(steps, "downloaded"):
        _download(visitor, module)


@contextmanager
def _timed(steps: list[Step], name: str) -> Iterator[None]:
    start = time.monotonic()
    yield
    steps.append(Step(name, time.monotonic() - start))


def _describe(steps: list[Step]) -> str:
    parts = [f"{step.name} in {step.seconds:.2f} s" for step in steps]
    text = ", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + (parts[-1] if parts else "")
    return f"The debug file was {text}." if parts else ""


def symbol_text(module: ObjectId) -> bytes:
    """Return the symbol file of the module, with one function."""
    lines = (
        f"MODULE Linux x86_64 {module.debug_id} {module.debug_file}",
        f"FILE 0 {SOURCE}",
        f"FUNC 1000 20 0 {FUNCTION}",
        f"1000 20 {LINE} 0",
    )
    return "".join(f"{line}\n" for line in lines).encode()


# Steps


def _upload(visitor: Visitor, token: str, module: ObjectId) -> None:
    headers = {"Content-Type": "application/octet-stream"}
    path = f"/upload/?name={symbol_file(module).file_name}"
    response = visitor.send("POST", path, token, content=symbol_text(module), headers=headers)
    if response.status_code == HTTPStatus.CREATED:
        return
    text = f"The site refuses the upload with {response.status_code}: {_error_of(response)}."
    if response.status_code == HTTPStatus.FORBIDDEN:
        raise CheckEnded(failed(text, CONFLICT))
    is_busy = response.status_code in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
    step = "Do what the text says; the log of the web server has more."
    raise CheckEnded(failed(text, step, transient=is_busy))


def _symbolicate(visitor: Visitor, module: ObjectId) -> None:
    """Send the stack until its function is known: the first requests may be over before the conversion."""
    body = {"memoryMap": [[module.debug_file, module.debug_id]], "stacks": [[[0, OFFSET]]]}
    while True:
        response = visitor.send("POST", "/symbolicate/v5", json=body)
        if response.is_success and _has_function(response.json()["results"][0]):
            return
        if visitor.seconds_left < 2 * PAUSE_SECONDS:
            text = f"The stack has no function in time: {_why_not(response)}."
            step = "Look at /jobs/ whether workers are busy, and into their logs."
            raise CheckEnded(failed(text, step, transient=True))
        time.sleep(PAUSE_SECONDS)


def _has_function(result: dict[str, Any]) -> bool:
    frame = result["stacks"][0][0]
    return bool(frame.get("function") == FUNCTION and frame.get("line") == LINE)


def _why_not(response: httpx.Response) -> str:
    if not response.is_success:
        return f"{response.status_code}, {_error_of(response)}"
    errors = response.json()["results"][0].get("module_errors", {})
    reasons = [error["message"] for items in errors.values() for error in items if "message" in error]
    return reasons[0].rstrip(".") if reasons else "the module was not found"


def _download(visitor: Visitor, module: ObjectId) -> None:
    key = symbol_file(module)
    response = visitor.send("GET", f"/{key.debug_file}/{key.debug_id}/{key.file_name}")
    if response.is_redirect:
        # Storage has URLs of its own. The client of the site may be one that only calls its code.
        timeout = max(1.0, min(visitor.seconds_left, 10.0))
        location = response.headers["Location"]
        try:
            response = httpx.get(location, timeout=timeout, verify=load_authorities())
        except httpx.HTTPError as error:
            text = f"Downloads are redirected to the storage, which does not answer: {type(error).__name__}."
            step = "Make the address of the storage reachable for clients (AWS_ENDPOINT_URL)."
            raise CheckEnded(failed(text, step, transient=True)) from error
    if response.content != symbol_text(module):
        text = f"The download ({response.status_code}) is not the file that was uploaded."
        raise CheckEnded(failed(text, "Look whether a proxy changes or caches the responses of the site."))


def _error_of(response: httpx.Response) -> str:
    try:
        document = response.json()
    except ValueError:
        return response.reason_phrase
    return str(document.get("error", response.reason_phrase)).rstrip(".")


# Deletion


def remove_module(module: ObjectId) -> None:
    """Delete the file of a module, all that was made of it, and its rows, in the order of retention.

    Raises:
        Unavailable: A server does not answer. The rows stay, so that a later run finds them.
    """
    rows = SymbolFile.objects.filter(debug_file=module.debug_file, debug_id=module.debug_id)
    rows.update(completed_at=None)
    key = symbol_file(module)
    storage_services.own_files().delete(key)
    symbolication_services.remove_derived(module)
    with suppress(Unavailable):
        # It expires by itself.
        storage_services.presence_cache().forget_file(key)
    rows.delete()
    _remove_directories(storage_path(key), page_path(module))


def _remove_directories(*paths: str) -> None:
    """Remove the directories of files that were deleted, where storage is a directory and they are empty."""
    directory = bucket_for(settings.STORAGE_URL).directory
    for path in paths if directory else ():
        parents = (directory / path).parents  # type: ignore[operator]
        with suppress(OSError):
            parents[0].rmdir()
            parents[1].rmdir()


def remove_stale_files() -> None:
    """Remove the files of runs that were killed."""
    before = timezone.now() - STALE_AFTER
    rows = SymbolFile.objects.filter(debug_file=DEBUG_FILE, created_at__lt=before)
    for debug_id in list(rows.values_list("debug_id", flat=True)[:100]):
        remove_module(ObjectId(DEBUG_FILE, debug_id))
