"""The files of uploads: your own, and everybody's for an auditor."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import quote

from django.db.models import QuerySet
from django.http import HttpRequest
from ninja import Field, Query, Router, Schema

from tecken.errors import Absent
from tecken.http.decorators import Grant
from tecken.storage.models import SymbolFile
from tecken.web.api import filters
from tecken.web.api.auth import ANY_UPLOAD, Permitted, grant_of
from tecken.web.api.paging import Paged, Paging, page_of, sort_field
from tecken.web.api.uploads import AUDITOR, UploadRow

SORTS = ("created_at", "size")
FILTERS: dict[str, filters.Filter] = {
    "key": filters.start,
    "debug_file": filters.exact,
    "debug_id": filters.debug_identifier,
    "code_file": filters.exact,
    "code_id": filters.identifier,
    "size": filters.size,
    "created_at": filters.moment,
    "completed_at": filters.moment,
    "bucket_name": filters.exact,
    "try_symbols": filters.exact,
    "upload": filters.number,
}

router = Router(tags=["files"], auth=Permitted(*ANY_UPLOAD))


class FilePaging(Paging):
    sort: str | None = sort_field(SORTS)


class FileFilters(Schema):
    key: str | None = Field(None, description="how it begins", examples=["v1/xul.pdb/"])
    debug_file: str | None = None
    debug_id: str | None = None
    code_file: str | None = None
    code_id: str | None = None
    size: str | None = Field(None, description="bytes, as stored", examples=[">=10MB"])
    created_at: str | None = Field(None, examples=[">=yesterday"])
    completed_at: str | None = Field(None, examples=["null"])
    bucket_name: str | None = Field(None, description="`!name` for all others")
    try_symbols: bool | None = None
    upload: int | None = Field(None, description="the id of an upload")


class FileRow(Schema):
    id: int
    upload_id: int | None
    key: str
    bucket_name: str
    debug_file: str
    debug_id: str
    code_file: str
    code_id: str
    generator: str
    size: int = Field(description="bytes, as stored")
    original_size: int = Field(description="bytes, unpacked")
    content_hash: str = Field(description="SHA-256 of the unpacked bytes")
    compressed: bool
    update: bool = Field(description="it replaced other content")
    replaced_by_id: int | None = Field(description="the upload that has replaced it with other content")
    try_symbols: bool
    url: str = Field(description="where it can be downloaded")
    created_at: datetime
    completed_at: datetime | None

    @staticmethod
    def resolve_url(file: SymbolFile) -> str:
        return address_of(file)


class Files(Paged):
    files: list[FileRow]


class WholeFile(FileRow):
    upload: UploadRow | None


@router.get("", response=Files, summary="List files")
def list_files(request: HttpRequest, paging: Query[FilePaging], wanted: Query[FileFilters]) -> object:
    files = seen_by(grant_of(request)).filter(filters.where(FILTERS, wanted.dict()))
    return page_of(files, paging, SORTS).shown_as("files")


@router.get("file/{int:file_id}", response=WholeFile, summary="One file and the upload it came in")
def show_file(request: HttpRequest, file_id: int) -> object:
    files = seen_by(grant_of(request)).select_related("upload__user")
    file = files.filter(pk=file_id).first()
    if file is None:
        raise Absent("File not found")
    return file


def seen_by(grant: Grant) -> QuerySet[SymbolFile]:
    return (
        SymbolFile.objects.all()
        if AUDITOR in grant.permissions
        else SymbolFile.objects.filter(upload__user=grant.user)
    )


def address_of(file: SymbolFile) -> str:
    """Return the path at which the file can be downloaded."""
    below = file.key.removeprefix("try/").removeprefix("v1/")
    return f"/{'try/' if file.try_symbols else ''}{quote(below)}"
