"""Operations for uploads and their files: the caller's own, or those of all users for an auditor."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from django.contrib.auth.models import User
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from ninja import Field, Query, Router, Schema

from tecken.errors import NotFound
from tecken.http.decorators import Grant
from tecken.storage.models import Kind, SymbolFile
from tecken.symbols.layouts import below_root
from tecken.upload import archive_upload
from tecken.upload.models import Protocol, Upload
from tecken.upload.origin import ORIGIN_FIELDS
from tecken.upload.resolved import count_requests, load_report
from tecken.web import lists
from tecken.web.api.openapi import TokenPermission, error_responses, grant_of
from tecken.web.auth import VIEW_UPLOADS
from tecken.web.identifiers import any_identifier
from tecken.web.lists import Paged, Paging, load_page, sort_field

AUDITOR = "upload.view_all_uploads"
SORTS = ("created_at", "size")
MAX_FILES = 1000
MAX_RESOLVED = 100
# Lists of names that may be long and that no list of uploads shows.
LONG_COLUMNS = ("skipped_keys", "ignored_keys", "redirect_urls", "warnings", "resolved")

router = Router(tags=["uploads"], auth=TokenPermission(*VIEW_UPLOADS))


def match_user(field: str, text: str) -> Q:
    """Match uploads of the users with this email address or name.

    Their ids are read first: with a join PostgreSQL misjudges the number of rows, and
    chooses a slow plan.
    """
    users = User.objects.filter(Q(email__iexact=text) | Q(username=text))
    return Q(**{f"{field}__in": list(users.values_list("pk", flat=True))})


FILTERS: dict[str, lists.Filter] = {
    "size": lists.size,
    "created_at": lists.moment,
    "completed_at": lists.moment,
    "filename": lists.start,
    "bucket_name": lists.exact,
    "try_symbols": lists.exact,
    "user": match_user,
    **dict.fromkeys(ORIGIN_FIELDS, lists.start),
    "token": lists.exact,
}


class UploadPaging(Paging):
    """Paging of uploads."""

    sort: str | None = sort_field(SORTS)


class UploadFilters(Schema):
    """Filters of uploads."""

    size: str | None = Field(None, examples=[">=10MB"])
    created_at: str | None = Field(None, examples=["today"])
    completed_at: str | None = Field(None, examples=["null"])
    filename: str | None = Field(None, description="beginning of the name")
    bucket_name: str | None = Field(None, description="`!name` for all others")
    try_symbols: bool | None = None
    user: str | None = Field(None, description="an email address; for auditors")
    build: str | None = Field(None, description="beginning of the build's name")
    branch: str | None = Field(None, description="beginning of the branch's name")
    commit: str | None = Field(None, description="beginning of the commit's id", examples=["9ac1ec4"])
    note: str | None = Field(None, description="beginning of the note")
    token: int | None = Field(None, ge=1, le=lists.BIGGEST, description="id of the token that sent it")


class ListedUpload(Schema):
    """Upload."""

    id: int
    user: str
    filename: str
    size: int = Field(description="bytes")
    bucket_name: str
    try_symbols: bool
    protocol: Protocol
    build: str = Field(description="of the four that the client sent, each may be empty")
    branch: str
    commit: str
    note: str
    token_id: int | None = Field(description="null after an upload by hand, and for a deleted token")
    resolved_modules: int = Field(description="modules that were requested before and missing")
    members_total: int
    members_done: int
    download_url: str
    error: str
    created_at: datetime
    completed_at: datetime | None
    cancelled_at: datetime | None

    @staticmethod
    def resolve_user(upload: Upload) -> str:
        """Return the value of `user`."""
        return upload.user.email or upload.user.get_username()


class UploadList(Paged):
    """Page of uploads."""

    uploads: list[ListedUpload]


class FileObject(Schema):
    """Part of a file's description that names the object it belongs to.

    Ids are in the spelling of the storage; `build_id` is in lower case.
    """

    kind: Kind = Field(description="what the file has of its object")
    format: str = Field(description="`unknown` if no format recognises it")
    arch: str = Field(description="architecture, as the file spells it")
    debug_file: str
    debug_id: str
    code_file: str
    code_id: str
    build_id: str = Field(description="of ELF files; empty for all others")


class UploadedFile(FileObject):
    """File in the details of its upload."""

    id: int
    key: str
    size: int = Field(description="bytes, as stored")
    original_size: int = Field(description="bytes, unpacked")
    update: bool = Field(description="whether it replaced other content")
    replaced_by_id: int | None = Field(description="id of the upload that replaced it with other content")
    compressed: bool
    created_at: datetime
    completed_at: datetime | None


class ResolvedCounts(Schema):
    """Numbers of requests for symbols that were missing."""

    requests: int = Field(description="all of them: those below, and downloads of symbol files")
    symbolications: int = Field(description="requests for symbolication among them")
    debuginfod: int = Field(description="requests by build id among them")
    symsrv: int = Field(description="requests for native files among them, as SymSrv and SSQP make them")


class ResolvedModuleInfo(ResolvedCounts):
    """Module that was requested before its upload, and that no source had."""

    debug_file: str
    debug_id: str
    last_used_at: datetime | None = Field(
        description="when it was last symbolicated or downloaded; null if it was not, or is not known"
    )


class ResolvedRequests(ResolvedCounts):
    """Requests that an upload has resolved."""

    modules: int = Field(description="modules that were requested before and missing")
    used: int | None = Field(
        description="those that were symbolicated or downloaded since; null if it is not known"
    )
    most_requested: list[ResolvedModuleInfo] = Field(description=f"the first {MAX_RESOLVED}")


class UploadDetails(ListedUpload):
    """Upload with its files and warnings."""

    redirect_urls: list[str]
    skipped_keys: list[str]
    ignored_keys: list[str]
    warnings: list[Any] = Field(description="`key`, `message`; `stored: false` for a refused file")
    content_hash: str
    resolved: ResolvedRequests
    file_uploads: list[UploadedFile] = Field(description=f"the first {MAX_FILES}")
    files_count: int

    @staticmethod
    def resolve_resolved(upload: Upload) -> dict[str, object]:
        """Return the value of `resolved`."""
        report = load_report(upload)
        return {
            **count_requests(report.modules),
            "used": report.used_count,
            "most_requested": [
                {**module._asdict(), "last_used_at": report.last_use(module)}
                for module in report.modules[:MAX_RESOLVED]
            ],
        }

    @staticmethod
    def resolve_file_uploads(upload: Upload) -> list[SymbolFile]:
        """Return the value of `file_uploads`."""
        return list(upload.files.order_by("pk")[:MAX_FILES])

    @staticmethod
    def resolve_files_count(upload: Upload) -> int:
        """Return the value of `files_count`."""
        return upload.files.count()


@router.get("", response=UploadList, summary="List uploads")
def list_uploads(request: HttpRequest, paging: Query[UploadPaging], values: Query[UploadFilters]) -> object:
    """Return a page of the uploads that the caller may see."""
    uploads = visible_uploads(grant_of(request)).filter(lists.combine_filters(FILTERS, values.dict()))
    rows = uploads.defer(*LONG_COLUMNS).select_related("user")
    return load_page(rows, paging, SORTS).to_response("uploads")


@router.get("upload/{int:upload_id}", response=UploadDetails, summary="Show an upload and its files")
def show_upload(request: HttpRequest, upload_id: int) -> object:
    """Return one upload."""
    return find_upload(grant_of(request), upload_id)


@router.post(
    "upload/{int:upload_id}/cancel",
    response=ListedUpload,
    summary="Cancel one of your uploads",
    openapi_extra=error_responses(HTTPStatus.BAD_REQUEST),
)
def cancel_upload(request: HttpRequest, upload_id: int) -> object:
    """Cancel an upload. Files that are stored already stay."""
    upload = find_upload(grant_of(request), upload_id)
    archive_upload.cancel(upload, grant_of(request).user)
    return upload


def visible_uploads(grant: Grant) -> QuerySet[Upload]:
    """Return the uploads that the caller may see."""
    return Upload.objects.all() if AUDITOR in grant.permissions else Upload.objects.filter(user=grant.user)


def find_upload(grant: Grant, upload_id: int) -> Upload:
    """Return an upload.

    Raises:
        NotFound: There is none of this id, or it is another user's, whose existence must not be revealed.
    """
    upload = visible_uploads(grant).select_related("user", "token").filter(pk=upload_id).first()
    if upload is None:
        raise NotFound("Upload not found")
    return upload


# Files

FILE_SORTS = ("created_at", "size")
FILE_FILTERS: dict[str, lists.Filter] = {
    "key": lists.start,
    "any_id": any_identifier,
    "debug_file": lists.exact,
    "debug_id": lists.debug_identifier,
    "code_file": lists.exact,
    "code_id": lists.identifier,
    "build_id": lists.build_identifier,
    "size": lists.size,
    "created_at": lists.moment,
    "completed_at": lists.moment,
    "bucket_name": lists.exact,
    "try_symbols": lists.exact,
    "upload": lists.number,
}

files_router = Router(tags=["files"], auth=TokenPermission(*VIEW_UPLOADS))


class FilePaging(Paging):
    """Paging of files."""

    sort: str | None = sort_field(FILE_SORTS)


class FileFilters(Schema):
    """Filters of files."""

    key: str | None = Field(None, description="beginning of the key", examples=["v1/xul.pdb/"])
    any_id: str | None = Field(None, description="debug id, code id, UUID, or beginning of a build id")
    debug_file: str | None = None
    debug_id: str | None = None
    code_file: str | None = None
    code_id: str | None = None
    build_id: str | None = Field(None, description="its beginning is enough")
    size: str | None = Field(None, description="bytes, as stored", examples=[">=10MB"])
    created_at: str | None = Field(None, examples=[">=yesterday"])
    completed_at: str | None = Field(None, examples=["null"])
    bucket_name: str | None = Field(None, description="`!name` for all others")
    try_symbols: bool | None = None
    upload: int | None = Field(None, description="the id of an upload")


class ListedFile(FileObject):
    """File of an upload."""

    id: int
    upload_id: int | None
    key: str
    bucket_name: str
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


# Programs are generated from the names of operations, so these do not follow the module.
@files_router.get("", response=FileList, summary="List files", operation_id="tecken_web_api_files_list_files")
def list_files(request: HttpRequest, paging: Query[FilePaging], values: Query[FileFilters]) -> object:
    """Return a page of the files that the caller may see."""
    files = visible_files(grant_of(request)).filter(lists.combine_filters(FILE_FILTERS, values.dict()))
    return load_page(files, paging, FILE_SORTS).to_response("files")


@files_router.get(
    "file/{int:file_id}",
    response=FileDetails,
    summary="Show a file and its upload",
    operation_id="tecken_web_api_files_show_file",
)
def show_file(request: HttpRequest, file_id: int) -> object:
    """Return one file. A file of another user counts as absent."""
    files = visible_files(grant_of(request)).select_related("upload__user")
    file = files.filter(pk=file_id).first()
    if file is None:
        raise NotFound("File not found")
    return file


def visible_files(grant: Grant) -> QuerySet[SymbolFile]:
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
