"""Why are a module's symbols missing? Where they were looked for, and looking again."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import quote, unquote

from django.contrib.auth.models import AnonymousUser, User
from django.db import DatabaseError
from django.db.models import Max, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from tecken import wiring
from tecken.download.models import MissingSymbol
from tecken.errors import Absent, BadInput, BadModule
from tecken.http.ratelimit import spend
from tecken.limits.port import Cost
from tecken.storage.codes import module_of
from tecken.storage.models import SymbolFile
from tecken.symbols.ids import ModuleKey, code_id, file_name, module_key
from tecken.symbols.pagefile.file import Header
from tecken.web.api.uploads import AUDITOR
from tecken.web.auth import open_page, page
from tecken.web.menu import OPERATE, VIEW_UPLOADS
from tecken.web.pages.explanation import NearMisses, asked, away, is_looking, memories, near_misses, verdict

PLACE = {"section": "explain"}
LOOK_AGAIN = (*VIEW_UPLOADS, "runtimeconfig.change_option")
PATH = re.compile(r"(?:.*/)?([^/]+)/([0-9A-Fa-f]{9,40})(?:/[^/]*)?")
NEWEST_UPLOADS = 20
Person = User | AnonymousUser


class Database(NamedTuple):
    """None: the database does not answer."""

    files: list[SymbolFile] | None
    asked_for: dict[str, object] | None


@open_page
@require_safe
def form(request: HttpRequest) -> HttpResponse:
    given = {name: request.GET.get(name, "").strip() for name in ("file", "id", "code_file", "code_id")}
    try:
        if given["code_file"] or given["code_id"]:
            return redirect(address(_by_code(given["code_file"], given["code_id"])))
        if given["file"] or given["id"]:
            return redirect(address(_by_debug(given["file"], given["id"])))
    except Absent as error:
        return _form(request, given, HTTPStatus.NOT_FOUND, str(error))
    except BadInput as error:
        return _form(request, given, HTTPStatus.BAD_REQUEST, str(error))
    return _form(request, given)


def _form(
    request: HttpRequest, given: dict[str, str], status: HTTPStatus = HTTPStatus.OK, problem: str = ""
) -> HttpResponse:
    near = _builds(request, given) if problem and given["file"] else None
    context = {**PLACE, "given": given, "problem": problem, "near": near, "name": given["file"]}
    return render(request, "explain/form.html", context, status=status)


def _builds(request: HttpRequest, given: dict[str, str]) -> NearMisses | None:
    """Find those of a debug file whose id is wrong, or was left out. Raises OverLimit."""
    spend(request, "api", Cost())
    try:
        return _near(file_name(given["file"]), "", request.user)
    except BadModule:
        return None


def _by_debug(file: str, some_id: str) -> ModuleKey:
    """Also of a text that has both, as an address of the file does, and of a GUID with its dashes."""
    if not some_id:
        path = PATH.fullmatch(unquote(file))
        words = file.rsplit(None, 1)
        file, some_id = path.groups() if path else words if len(words) > 1 else (file, "")
    return module_key(file, re.sub(r"[{}-]", "", some_id))


def _by_code(file: str, some_id: str) -> ModuleKey:
    """Raises Absent, or CouldNotAsk when the database does not answer."""
    return module_of(file_name(file, "code file name"), code_id(some_id), with_try=True)


def address(module: ModuleKey) -> str:
    return f"/explain/{quote(module.debug_file, safe='')}/{module.debug_id}/"


@open_page
@require_http_methods(["GET", "HEAD", "POST"])
def explain(request: HttpRequest, debug_file: str, debug_id: str) -> HttpResponse:
    module = module_key(debug_file, debug_id)
    if request.method == "POST":
        return _look_again(request, module)
    spend(request, "api", Cost())
    return _explained(request, module)


@page(*LOOK_AGAIN)
def _look_again(request: HttpRequest, module: ModuleKey) -> HttpResponse:  # noqa: ARG001 - as a page is called
    wiring.explainer().look_again(module)
    return redirect(address(module))


def _explained(request: HttpRequest, module: ModuleKey) -> HttpResponse:
    user, told = request.user, wiring.explainer().explain(module)
    names = _has_any(user, *LOOK_AGAIN, *OPERATE)
    found, places = _database(module, user), list(asked(told, names=names))
    decision = verdict(told, places)
    context = {
        **PLACE,
        "module": module,
        "key": told.key,
        "verdict": decision,
        "looking": is_looking(told),
        "asked": places,
        "memories": list(memories(told, names=names)),
        "away": away(told, names=names),
        "about": told.page_file.metadata if isinstance(told.page_file, Header) else None,
        "database": found,
        "near": None if decision.kind == "success" else _near(module.debug_file, module.debug_id, user),
        "newest": found.files[0] if found.files else None,
        "may_look": _has_any(user, *LOOK_AGAIN),
        "sees_uploads": _has_any(user, *VIEW_UPLOADS),
        "sees_all": user.has_perm(AUDITOR),
    }
    return render(request, "explain/module.html", context)


def _has_any(user: Person, *permissions: str) -> bool:
    return any(map(user.has_perm, permissions))


def _database(module: ModuleKey, user: Person) -> Database:
    try:
        return Database(_uploaded(module, user), _asked_for(module))
    except DatabaseError:
        return Database(None, None)


def _near(debug_file: str, debug_id: str, user: Person) -> NearMisses | None:
    """None: the database does not answer."""
    try:
        return near_misses(debug_file, debug_id, names=_has_any(user, *LOOK_AGAIN, *OPERATE))
    except DatabaseError:
        return None


def _uploaded(module: ModuleKey, user: Person) -> list[SymbolFile]:
    """Whoever sees no others' uploads sees their own."""
    files = SymbolFile.objects.filter(debug_file=module.debug_file, debug_id=module.debug_id)
    if not user.has_perm(AUDITOR):
        if not isinstance(user, User):
            return []
        files = files.filter(upload__user=user)
    return list(files.select_related("upload__user").order_by("-id")[:NEWEST_UPLOADS])


def _asked_for(module: ModuleKey) -> dict[str, object]:
    """How often in vain, and when last."""
    rows = MissingSymbol.objects.filter(debug_id=module.debug_id, debug_file=module.debug_file)
    return rows.aggregate(
        count=Sum("count"), symbolications=Sum("symbolications"), last_seen=Max("last_seen")
    )
