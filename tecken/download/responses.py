"""Responses with a file: whole, in part, unpacked for clients without gzip, or a redirect to it.

Small bodies are sent in one piece, others streamed, with ranges and conditional requests.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from functools import partial
from http import HTTPStatus
from itertools import chain
from typing import Self

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response
from django.utils.http import http_date, parse_http_date_safe

from tecken.errors import InvalidInput, MalformedPageFile, NotFound, TeckenError, Unavailable
from tecken.http.responses import ByteRange, Unsatisfiable, accepts_gzip, error_reply, parse_range
from tecken.storage.backends.files import ObjectFiles, gzip_chunks
from tecken.storage.port import Upstream
from tecken.storage.search_places import ConvertedSymbols, OwnFile, UpstreamFile
from tecken.storage.source_code import StoredSource, open_source
from tecken.symbols.decompression import decompress
from tecken.symbols.formats.pdb import PACKED_MAGIC
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import FileKey, FileType, symbol_file
from tecken.symbols.pagefile.convert import symbol_file_text
from tecken.symbols.pagefile.file import Header, read_header

# Larger bodies are streamed. A body in memory stays there until its client has read it, however slow it is.
SMALL_BYTES = 64 << 10


class Stream:
    """Iterator of chunks that keeps their source open until it is closed, read or not."""

    def __init__(self, chunks: Iterator[bytes], opened: ExitStack) -> None:
        self._chunks = chunks
        self._opened = opened

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        return next(self._chunks)

    def close(self) -> None:
        """Close the source."""
        self._opened.close()


def read_content(opening: AbstractContextManager[Iterable[bytes]]) -> bytes | Stream:
    """Return a small body whole, a larger one as a stream. Raises the errors of the source."""
    # The first bytes are read here: an error of the source can become a status only before the response has
    # begun.
    with ExitStack() as opened:
        chunks = iter(opened.enter_context(opening))
        start, size = [], 0
        for chunk in chunks:
            start.append(chunk)
            size += len(chunk)
            if size > SMALL_BYTES:
                return Stream(chain(start, chunks), opened.pop_all())
        return b"".join(start)


def check_length(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Yield the chunks. Raises Unavailable when they have more or fewer bytes than `size`."""
    # Content-Length is sent before the body. A file that was replaced meanwhile must break the connection,
    # because a client would otherwise take a mixture for the file.
    left = size
    for chunk in chunks:
        left -= len(chunk)
        if left < 0:
            break
        yield chunk
    if left:
        raise Unavailable("the file was replaced while it was read")


TEXT = "text/plain; charset=utf-8"
BINARY = "application/octet-stream"

Headers = dict[str, str]


def send_own(request: HttpRequest, found: OwnFile, url_seconds: float, max_bytes: int) -> HttpResponseBase:
    """Return a file of our storage or a section of it, or a redirect to the file.

    Raises NotFound or Unavailable when the file was deleted or replaced since it was found.
    """
    if request.method == "GET" and (url := _sign_url(found, url_seconds)):
        return _redirect(url)
    unpacks = found.key.file_type.is_compressed and not accepts_gzip(
        request.headers.get("Accept-Encoding", "")
    )
    headers = _unpacked_headers(found) if unpacks else stored_headers(found)
    complete = HttpResponse(headers=headers)
    response = get_conditional_response(request, headers["ETag"], _modified(found), complete) or complete
    if response is not complete or request.method == "HEAD":
        return response
    if unpacks:
        return _reply(headers, _unpack(_read(found, None), max_bytes))
    return _send_stored(request, headers, found)


def is_msfz(found: OwnFile) -> bool:
    """Return whether a stored file is a compressed PDB, by its first bytes.

    Raises NotFound or Unavailable.
    """
    if found.key.file_type is not FileType.PDB or found.span.size < len(PACKED_MAGIC):
        return False
    with found.files.read(found.key, 0, len(PACKED_MAGIC)) as chunks:
        return b"".join(chunks) == PACKED_MAGIC


def send_converted(request: HttpRequest, found: ConvertedSymbols) -> HttpResponseBase:
    """Return the text of a symbol file, made from the page file of native files.

    Raises NotFound or Unavailable when the page file was deleted or replaced since it was found.
    """
    header = _read_header(found)
    read = partial(found.page_files.read, found.module)
    packs = accepts_gzip(request.headers.get("Accept-Encoding", ""))
    packed = {"Content-Encoding": "gzip"} if packs else {}
    etag = header.generation if packs else f"{header.generation}-unpacked"
    headers = {**_text_headers(etag), **packed, "Accept-Ranges": "none"}
    complete = HttpResponse(headers=headers)
    response = get_conditional_response(request, headers["ETag"], None, complete) or complete
    if response is not complete or request.method == "HEAD":
        return response
    text = symbol_file_text(header, read)
    return _reply(headers, nullcontext(gzip_chunks(text) if packs else text))


def converted_key(found: ConvertedSymbols) -> FileKey:
    """Return the name of a symbol file that is made from native files: that of the file with their symbols.

    Raises NotFound or Unavailable, as `send_converted` does.
    """
    return symbol_file(ObjectId(_read_header(found).metadata.debug_file, found.module.debug_id))


def _read_header(found: ConvertedSymbols) -> Header:
    try:
        return Header.parse(read_header(partial(found.page_files.read, found.module)))
    except MalformedPageFile as error:
        # As without a page file, the module is converted again.
        raise NotFound(str(error)) from error


def send_from_upstream(
    request: HttpRequest, found: UpstreamFile, upstream: Upstream, max_bytes: int
) -> HttpResponseBase:
    """Return a file of an upstream, unpacked, or a redirect to it. Raises what `Upstream.read` raises."""
    is_symbols = found.file_type is FileType.SYMBOL_FILE
    headers = {"Content-Type": TEXT if is_symbols else BINARY, "Cache-Control": "no-transform"}
    if request.method == "HEAD":
        return HttpResponse(headers=headers)
    if url := upstream.public_url(found.path):
        return _redirect(url)
    return _reply(headers, _unpack(upstream.read(found.path), max_bytes))


def send_source(request: HttpRequest, files: ObjectFiles, found: StoredSource) -> HttpResponseBase:
    """Return a source file. Raises NotFound or Unavailable, also when its bundle is damaged."""
    headers = {**_file_headers(found.etag), "Content-Type": BINARY, "Accept-Ranges": "none"}
    headers |= {"Content-Length": str(found.size), "Last-Modified": http_date(found.modified.timestamp())}
    complete = HttpResponse(headers=headers)
    modified = int(found.modified.timestamp())
    response = get_conditional_response(request, headers["ETag"], modified, complete) or complete
    if response is not complete or request.method == "HEAD":
        return response
    return _reply(headers, open_source(files, found))


def _sign_url(found: OwnFile, seconds: float) -> str | None:
    """Return a signed URL; None for a section, and without a key to sign with: we send those ourselves."""
    if found.section:
        return None
    with suppress(Unavailable):
        return found.files.signed_get(found.key, seconds)
    return None


def _redirect(url: str) -> HttpResponse:
    return HttpResponseRedirect(url, headers={"Cache-Control": "no-transform"})


def stored_headers(found: OwnFile) -> Headers:
    """Return the headers of a whole file that is sent as stored."""
    packed: Headers = {"Content-Encoding": "gzip"} if found.key.file_type.is_compressed else {}
    length = {"Content-Length": str(found.span.size), "Accept-Ranges": "bytes"}
    return {**_headers(found, found.etag), **packed, **length}


def _unpacked_headers(found: OwnFile) -> Headers:
    """Return the headers of an unpacked file, whose length is unknown until it is unpacked."""
    # Another ETag than that of the stored bytes: a range of one form must never complete the other.
    return {**_headers(found, f"{found.etag}-unpacked"), "Accept-Ranges": "none"}


def _headers(found: OwnFile, etag: str) -> Headers:
    headers = {"Last-Modified": http_date(_modified(found))}
    if found.key.file_type.is_compressed:
        return {**headers, **_text_headers(etag)}
    return {**headers, **_file_headers(etag), "Content-Type": BINARY}


def _text_headers(etag: str) -> Headers:
    return {**_file_headers(etag), "Content-Type": TEXT, "Vary": "Accept-Encoding"}


def _file_headers(etag: str) -> Headers:
    return {"ETag": f'"{etag}"', "Cache-Control": "no-transform"}


def _modified(found: OwnFile) -> int:
    return int(found.stored.modified.timestamp())


def _send_stored(request: HttpRequest, headers: Headers, found: OwnFile) -> HttpResponseBase:
    """Return the file as stored: all of it, or the requested range."""
    size = found.span.size
    try:
        part = _parse_part(request, headers["ETag"], found)
    except Unsatisfiable as error:
        reply = error_reply(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, str(error))
        reply["Content-Range"] = f"bytes */{size}"
        return reply
    if part is None:
        return _reply(headers, _read(found, None))
    length = {"Content-Length": str(part.end - part.start)}
    place = {"Content-Range": f"bytes {part.start}-{part.end - 1}/{size}"}
    return _reply({**headers, **length, **place}, _read(found, part), HTTPStatus.PARTIAL_CONTENT)


def _parse_part(request: HttpRequest, etag: str, found: OwnFile) -> ByteRange | None:
    """Return the requested range; None for the whole file, also when If-Range names another one."""
    condition = request.headers.get("If-Range", etag).strip()
    if condition != etag and parse_http_date_safe(condition) != _modified(found):
        return None
    return parse_range(request.headers.get("Range", ""), found.span.size)


@contextmanager
def _read(found: OwnFile, part: ByteRange | None) -> Iterator[Iterator[bytes]]:
    offset, size = found.span
    start, end = part or (0, size)
    # Without an end, a whole file is read with one request to the storage.
    last = offset + end if part or found.section else None
    with found.files.read(found.key, offset + start, last) as chunks:
        yield check_length(chunks, end - start)


@contextmanager
def _unpack(opening: AbstractContextManager[Iterator[bytes]], max_bytes: int) -> Iterator[Iterator[bytes]]:
    with opening as chunks:
        yield _translate_errors(decompress(chunks, max_bytes))


def _translate_errors(text: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the text. Turn errors of input into errors of the server: the file is ours, not the client's."""
    try:
        yield from text
    except InvalidInput as error:
        raise TeckenError(str(error)) from error


def _reply(
    headers: Headers, opening: AbstractContextManager[Iterator[bytes]], status: int = HTTPStatus.OK
) -> HttpResponseBase:
    body = read_content(opening)
    if isinstance(body, Stream):
        return StreamingHttpResponse(body, status=status, headers=headers)
    return HttpResponse(body, status=status, headers={**headers, "Content-Length": str(len(body))})
