"""Operations for the files of uploads: the caller's own, or those of all users for an auditor."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import quote

from django.db.models import QuerySet
from django.http import HttpRequest
from ninja import Field, Query, Router, Schema

from tecken.errors import NotFound
from tecken.http.decorators import Grant
from tecken.storage.models import SymbolFile
from tecken.symbols.layouts import below_root
from tecken.web.api import filters
from tecken.web.api.auth import TokenPermission, grant_of
from tecken.web.api.paging import Paged, Paging, load_page, sort_field
from tecken.web.api.uploads import AUDITOR, ListedUpload
from tecken.web.registration import VIEW_UPLOADS

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

router = Router(tags=["files"], auth=TokenPermission(*VIEW_UPLOADS))


class FilePaging(Paging):
    """Paging of files."""

    sort: str | None = sort_field(SORTS)


class FileFilters(Schema):
    """Filters of files."""

    key: str | None = Field(None, description="beginning of the key", examples=["v1/xul.pdb/"])
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


class ListedFile(Schema):
    """File of an upload."""

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
    update: bool = Field(description="whether it replaced other content")
    replaced_by_id: int | None = Field(description="id of the upload that replaced it with other content")
    try_symbols: bool
    url: str = Field(description="path of the download")
    created_at: datetime
    completed_at: datetime | None

    @staticmethod
    def resolve_url(file: SymbolFile) -> str:
        """Return the value of `url`."""
        return address_of(file)


class FileList(Paged):
    """Page of files."""

    files: list[ListedFile]


class FileDetails(ListedFile):
    """File with its upload."""

    upload: ListedUpload | None


@router.get("", response=FileList, summary="List files")
def list_files(request: HttpRequest, paging: Query[FilePaging], values: Query[FileFilters]) -> object:
    """Return a page of the files that the caller may see."""
    files = visible_to(grant_of(request)).filter(filters.combine_filters(FILTERS, values.dict()))
    return load_page(files, paging, SORTS).to_response("files")


@router.get("file/{int:file_id}", response=FileDetails, summary="Show a file and its upload")
def show_file(request: HttpRequest, file_id: int) -> object:
    """Return one file. A file of another user counts as absent."""
    files = visible_to(grant_of(request)).select_related("upload__user")
    file = files.filter(pk=file_id).first()
    if file is None:
        raise NotFound("File not found")
    return file


def visible_to(grant: Grant) -> QuerySet[SymbolFile]:
    """Return the files that the caller may see."""
    return (
        SymbolFile.objects.all()
        if AUDITOR in grant.permissions
        else SymbolFile.objects.filter(upload__user=grant.user)
    )


def address_of(file: SymbolFile) -> str:
    """Return the path at which the file can be downloaded."""
    below = below_root(file.key)
    return f"/{'try/' if file.try_symbols else ''}{quote(below)}"
