"""Downloads of files, whatever protocol they are requested with."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import quote

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from tecken.download.responses import (
    converted_key,
    is_msfz,
    send_converted,
    send_from_upstream,
    send_own,
    send_source,
    stored_headers,
)
from tecken.errors import NotFound, Unavailable
from tecken.http.decorators import check_source_access, cors, get_only
from tecken.http.ratelimit import caller_of, rate_limited
from tecken.http.responses import error_reply
from tecken.runtimeconfig.current import options
from tecken.storage import services as storage_services
from tecken.storage.former_misses import watched_id
from tecken.storage.miss_counts import Miss, Requester
from tecken.storage.port import BuildIdRequest, FileRequest, SourceRequest
from tecken.storage.search import absence_text
from tecken.storage.search_places import ConversionPending, ConvertedSymbols, Found, OwnFile, UpstreamFile
from tecken.storage.source_code import find_source
from tecken.storage.upstreams.http import count_hops
from tecken.symbols.ids import ObjectId, build_id_of, debug_ids_of_code_id, is_zero_debug_id
from tecken.symbols.layouts import FileKey, FileType

Parse = Callable[..., FileRequest]
ParseSource = Callable[..., SourceRequest]
ParseBuildId = Callable[..., BuildIdRequest]
View = Callable[..., HttpResponseBase]
Convert = Callable[[ObjectId, str], object]
# Debuggers request this file from every server; Microsoft's symbol stores have it in place of another file.
FILE_POINTER = "file.ptr"
# SSQP has these names in place of those of debug files.
NAMELESS = ("_.debug", "_.dwarf")
NOT_FOUND = "Symbol Not Found"
IGNORED = "Symbol Not Found (and ignored)"
METHODS = "GET, HEAD, OPTIONS"
# Enough for any size, and few enough that int() is fast and raises nothing.
MAXSIZE_DIGITS = 20
# Media type of a compressed PDB. Clients that read them accept it.
MSFZ = "application/msfz0"
YES = ("1", "true", "yes")
READABLE = (
    "Accept-Ranges, Content-Length, Content-Range, Debug-Time, ETag, RateLimit, RateLimit-Policy, Retry-After"
)


def download(parse: Parse, convert: Convert) -> View:
    """Return the view of one URL pattern; `parse` turns the query and the names of the URL into a request.

    `convert` has a module converted for a client that waits. It raises Unavailable, also when it is late.
    """
    return _view(partial(_respond, parse, convert), parse)


def download_by_build_id(parse: ParseBuildId) -> View:
    """Return the view of one URL pattern of ELF files, as `download` does."""
    return _view(partial(_respond_by_build_id, parse), parse)


def download_source(parse: ParseSource) -> View:
    """Return the view of one URL pattern of source files, as `download` does."""
    return _view(partial(_respond_with_source, parse))


public = cors(METHODS, expose=READABLE)


def _view(respond: Callable[..., HttpResponseBase], parse: Parse | ParseBuildId | None = None) -> View:
    guarded = rate_limited("download")(get_only(respond))

    @csrf_exempt
    @public
    def view(request: HttpRequest, **names: str) -> HttpResponseBase:
        began = time.perf_counter()
        response = guarded(request, **names)
        if getattr(request, "is_personal", False):
            response["Cache-Control"] = "no-store, no-transform"
        if request.headers.get("Debug", "").strip().lower() in YES:
            response["Debug-Time"] = f"{time.perf_counter() - began:.6f}"
        return response

    # For the front, which answers some requests without this view.
    view.parse = parse  # type: ignore[attr-defined]
    return view


def _respond(parse: Parse, convert: Convert, request: HttpRequest, **names: str) -> HttpResponseBase:
    wanted = parse(request.GET, **names)._replace(hops=count_hops(request.headers))
    if is_ignored(wanted.key):
        raise NotFound(IGNORED)
    if wanted.key.file_type is FileType.SOURCES:
        check_source_access(request)
    try:
        response = _serve(request, wanted, convert)
    except NotFound:
        if build_id := build_id_to_keep(wanted):
            storage_services.build_ids().note([build_id])
        _count(missing_file(wanted))
        raise NotFound(text_of_missing(wanted)) from None
    _note_use(request, _miss(wanted))
    return response


def text_of_missing(wanted: FileRequest | BuildIdRequest) -> str:
    """Return the text of the 404 for a file that no place has."""
    if isinstance(wanted, BuildIdRequest):
        return absence_text(wanted)
    expected = is_expected(wanted.key, settings.DOWNLOAD_EXTENSIONS) and not is_ignored(wanted.key)
    return NOT_FOUND if expected else IGNORED


def is_ignored(key: FileKey) -> bool:
    """Return whether no search is worth its cost: nothing useful is ever stored under such a name."""
    return key.file_name.lower() == FILE_POINTER or is_zero_debug_id(key.debug_id)


def is_expected(key: FileKey, endings: Iterable[str]) -> bool:
    """Return whether the file's name is one that symbol servers usually have."""
    return key.file_name.lower().endswith(tuple(endings))


def _serve(request: HttpRequest, wanted: FileRequest, convert: Convert) -> HttpResponseBase:
    # The presence cache may be outdated. When the file is not in its place any more, all places are searched.
    found = _find(request, wanted, convert, fresh="_refresh" in request.GET)
    try:
        return _send_found(request, wanted, found)
    except (NotFound, Unavailable):
        return _send_found(request, wanted, _find(request, wanted, convert, fresh=True))


def _find(request: HttpRequest, wanted: FileRequest, convert: Convert, *, fresh: bool) -> Found:
    """Return where the file is, after the conversion of native files that have no symbols yet.

    Stackwalkers know 200 and 404 and remember a 404, so this waits as long as a symbolication does.
    """
    search = storage_services.search()
    try:
        return search.find(wanted, fresh=fresh)
    except ConversionPending as pending:
        caller = caller_of(request)
        convert(pending.module, f"user {caller.user}" if caller.user else caller.address)
    try:
        return search.find(wanted, fresh=fresh)
    except ConversionPending as pending:
        raise NotFound(f"the native files of {pending.module} cannot be converted") from None


def _send_found(request: HttpRequest, wanted: FileRequest, found: Found) -> HttpResponseBase:
    current = options()
    if isinstance(found, OwnFile):
        is_packed = (wanted.is_msfz or MSFZ in request.headers.get("Accept", "")) and is_msfz(found)
        if wanted.is_msfz and not is_packed:
            raise NotFound(f"{found.key} is not compressed")
        response = send_own(request, found, current.download_url_seconds, current.symbol_max_bytes)
        if is_packed and response.status_code in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
            response["Content-Type"] = MSFZ
        return response
    if isinstance(found, ConvertedSymbols):
        # Stackwalkers that know a code id alone take the debug file and the debug id from a redirect.
        if found.module.debug_id != wanted.key.debug_id:
            return _redirect(request, wanted, converted_key(found))
        return send_converted(request, found)
    if isinstance(found, UpstreamFile):
        return _send_from_upstream(request, found)
    return _redirect(request, wanted, found.key)


def _redirect(request: HttpRequest, wanted: FileRequest, key: FileKey) -> HttpResponseBase:
    """Return a redirect to the stored name of a file, with the query kept."""
    query = request.META.get("QUERY_STRING", "")
    path = str(key._replace(file_name=f"msfz0/{key.file_name}") if wanted.is_msfz else key)
    return HttpResponseRedirect(f"{wanted.root}/{quote(path)}{query and '?'}{query}")


def _send_from_upstream(request: HttpRequest, found: UpstreamFile) -> HttpResponseBase:
    switchable = storage_services.search().upstream(found.upstream)
    return send_from_upstream(request, found, switchable.upstream, options().symbol_max_bytes)


class CountedMiss(NamedTuple):
    """How a file that no place has is counted."""

    miss: Miss
    requester: Requester


def missing_file(wanted: FileRequest | BuildIdRequest) -> CountedMiss | None:
    """Return how a file is counted that no place has; None for one that is not counted."""
    if isinstance(wanted, BuildIdRequest):
        # Clients request a section before the file that has it.
        return None if wanted.section else CountedMiss(_miss(wanted), Requester.DEBUGINFOD)
    # SymSrv requests the compressed forms of a file, too, which would count it more than once.
    is_native = wanted.key.file_type is not FileType.OTHER and not (wanted.is_cabinet or wanted.is_msfz)
    if is_ignored(wanted.key) or not (wanted.is_symbols or is_native):
        return None
    return CountedMiss(_miss(wanted), Requester.DOWNLOAD if wanted.is_symbols else Requester.SYMSRV)


def _count(missing: CountedMiss | None) -> None:
    if missing and not storage_services.search().has_disabled_upstream:
        storage_services.miss_counts().count([missing.miss], missing.requester)


def _note_use(request: HttpRequest, names: Miss) -> None:
    """Note that a file was found, for the report of the upload that brought it."""
    if request.method == "GET":
        name, some_id = names.debug_file or names.code_file, names.debug_id or names.code_id
        storage_services.former_misses().note([watched_id(name, some_id)])


def build_id_to_keep(wanted: FileRequest) -> str:
    """Return the id of a file that is not here, for the symbolication that often follows; empty for none."""
    if wanted.is_symbols and storage_services.needs_build_ids():
        return build_id_of(wanted.code_id, wanted.key.debug_id) or wanted.given_id
    return ""


def _miss(wanted: FileRequest | BuildIdRequest) -> Miss:
    if isinstance(wanted, BuildIdRequest):
        return Miss("", "", "", wanted.build_id.upper())
    if wanted.key.debug_file in NAMELESS:
        return Miss("", "", "", wanted.given_id)
    if wanted.looks_like_debug_id:
        return Miss(wanted.key.debug_file, wanted.key.debug_id, wanted.code_file, wanted.code_id)
    return Miss("", "", wanted.key.debug_file, wanted.given_id)


# By build id


def _respond_by_build_id(parse: ParseBuildId, request: HttpRequest, **names: str) -> HttpResponseBase:
    wanted = parse(request.GET, **names)._replace(hops=count_hops(request.headers))
    try:
        response = _serve_elf(request, wanted)
    except NotFound:
        _count(missing_file(wanted))
        raise
    _note_use(request, _miss(wanted))
    return response


def _serve_elf(request: HttpRequest, wanted: BuildIdRequest) -> HttpResponseBase:
    search = storage_services.search()
    found = search.find_by_build_id(wanted, fresh="_refresh" in request.GET)
    try:
        return _send_elf(request, found)
    except (NotFound, Unavailable):
        # As in `_serve`: the presence cache may be outdated.
        return _send_elf(request, search.find_by_build_id(wanted, fresh=True))


def _respond_with_source(parse: ParseSource, request: HttpRequest, **names: str) -> HttpResponseBase:
    wanted = parse(request.GET, **names)
    # Before the search, so that the response does not show which files there are.
    check_source_access(request)
    found = find_source(debug_ids_of_code_id(wanted.build_id), wanted.path, with_try=wanted.with_try)
    return _refuse_size(request, found.size) or _with_elfutils_headers(
        send_source(request, storage_services.select_files(found.is_try), found), found.size, found.path
    )


def _send_elf(request: HttpRequest, found: OwnFile | UpstreamFile) -> HttpResponseBase:
    """Return the file or the section with the headers of elfutils' server, unless the client wants less.

    The size of a file of an upstream is not known.
    """
    if isinstance(found, UpstreamFile):
        return _send_from_upstream(request, found)
    if refusal := _refuse_size(request, found.span.size):
        return refusal
    current = options()
    response = send_own(request, found, current.download_url_seconds, current.symbol_max_bytes)
    return _with_elfutils_headers(response, found.span.size, found.key.file_name)


def small_response(wanted: FileRequest | BuildIdRequest, found: OwnFile) -> HttpResponseBase:
    """Return the response with a whole native file for any usual request, but for its body."""
    response = HttpResponse(headers=stored_headers(found))
    if isinstance(wanted, FileRequest):
        return response
    return _with_elfutils_headers(response, found.span.size, found.key.file_name)


def _refuse_size(request: HttpRequest, size: int) -> HttpResponseBase | None:
    """Return the refusal of a body that is larger than the client takes; None otherwise."""
    most = request.headers.get("X-Debuginfod-Maxsize", "").strip()
    if most.isascii() and most.isdigit() and size > int(most[:MAXSIZE_DIGITS]):
        return error_reply(HTTPStatus.NOT_ACCEPTABLE, f"File too large, max size={most}", size=size)
    return None


def _with_elfutils_headers(response: HttpResponseBase, size: int, name: str) -> HttpResponseBase:
    response["X-DEBUGINFOD-SIZE"] = str(size)
    response["X-DEBUGINFOD-FILE"] = quote(name)
    return response
