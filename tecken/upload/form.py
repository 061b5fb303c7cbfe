"""Files in forms and bodies, written to files without a name, so that a killed process leaves nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import PurePosixPath
from tempfile import TemporaryFile
from typing import Any, BinaryIO, NamedTuple, cast

from django.conf import settings
from django.core.files.uploadhandler import FileUploadHandler, SkipFile
from django.http import HttpRequest, QueryDict

from tecken.errors import InvalidInput
from tecken.http.form import FIELDS_BYTES, MalformedForm, Spool, parse_multipart, read_body
from tecken.runtimeconfig.current import options
from tecken.upload.containers import check_name

NO_FILE = "Must be multipart form data with at least one file"
# Fields that do not have the name of their file: those of an HTML form, and of `curl -F file=@x`.
OWN_NAMES = ("archive", "file")
# A body of any other type is the file itself, unless it is a form.
NO_FILE_TYPES = ("", "application/json")


class Archive(NamedTuple):
    """Received file with its size in bytes and SHA-256. The code that opened `file` closes it."""

    name: str
    file: BinaryIO
    size: int
    digest: str
    download_url: str = ""
    redirect_urls: tuple[str, ...] = ()


class NoFiles(FileUploadHandler):
    """Upload handler that drops files.

    All other forms have it. With Django's own handlers any client could fill the disk before its token is
    checked.
    """

    def new_file(self, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Skip the file."""
        raise SkipFile

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        """Do nothing: every file is skipped."""

    def file_complete(self, file_size: int) -> None:
        """Do nothing: every file is skipped."""


class OneArchive(Spool):
    """Upload handler that refuses a second file, or an unknown kind, before the first byte is written."""

    def new_file(self, field_name: str, file_name: str, *args: Any, **kwargs: Any) -> None:
        """Open the file. Raise InvalidInput."""
        name = file_name if field_name in OWN_NAMES else field_name
        if hasattr(self, "file"):
            raise InvalidInput(f"One archive in each upload: there is {self.field_name} and {name}")
        check_name(name)
        super().new_file(name, file_name, *args, **kwargs)


def max_form_bytes() -> int:
    """Return how large a form with an archive may be."""
    return options().upload_max_bytes + FIELDS_BYTES


@contextmanager
def receive_archive(request: HttpRequest) -> Iterator[Archive | str]:
    """Return the file in a body or form, or the URL in its field `url`. Raise InvalidInput or TooLarge."""
    kind = request.content_type or ""
    if kind == "application/x-www-form-urlencoded":
        fields = QueryDict(b"".join(read_body(request, FIELDS_BYTES)))
        yield _get_url(fields)
    elif kind == "multipart/form-data":
        with _parse_multipart(request) as archive_or_url:
            yield archive_or_url
    elif kind in NO_FILE_TYPES:
        raise InvalidInput(NO_FILE)
    else:
        with _spool_body(request) as archive:
            yield archive


@contextmanager
def _spool_body(request: HttpRequest) -> Iterator[Archive]:
    """Write a body that is the file itself. The query has the name, which a symbol file does not need."""
    name = PurePosixPath(request.GET.get("name", "").replace("\\", "/")).name
    check_name(name)
    digest = hashlib.sha256()
    with TemporaryFile(dir=settings.SPOOL_DIR) as file:
        for chunk in read_body(request, options().upload_max_bytes):
            file.write(chunk)
            digest.update(chunk)
        size = file.tell()
        if not size:
            raise InvalidInput(NO_FILE)
        yield Archive(name, cast(BinaryIO, file), size, digest.hexdigest())


@contextmanager
def _parse_multipart(request: HttpRequest) -> Iterator[Archive | str]:
    with closing(OneArchive(request)) as spool:
        try:
            fields, files = parse_multipart(request, max_form_bytes(), spool)
        except MalformedForm as error:
            raise InvalidInput(f"{NO_FILE}: {error}") from None
        if files:
            yield Archive(str(spool.field_name), spool.file, spool.size, spool.digest.hexdigest())
        else:
            yield _get_url(fields)


def _get_url(fields: QueryDict) -> str:
    url = fields.get("url", "").strip()
    if not url:
        raise InvalidInput(NO_FILE)
    return url
