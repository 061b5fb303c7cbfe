"""What was uploaded: your own uploads, and everybody's for an auditor."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from ninja import Field, Query, Router, Schema

from tecken.errors import Absent
from tecken.http.decorators import Grant
from tecken.storage.models import SymbolFile
from tecken.upload import archive_upload
from tecken.upload.models import Protocol, Upload
from tecken.web.api import filters
from tecken.web.api.auth import ANY_UPLOAD, Permitted, grant_of
from tecken.web.api.description import may_answer
from tecken.web.api.paging import Paged, Paging, page_of, sort_field

AUDITOR = "upload.view_all_uploads"
SORTS = ("created_at", "size")
FILES_SHOWN = 1000
LONG = ("skipped_keys", "ignored_keys", "redirect_urls", "warnings")

router = Router(tags=["uploads"], auth=Permitted(*ANY_UPLOAD))


def of_user(field: str, text: str) -> Q:
    """Their ids are asked for first: with a join the planner knows nothing of how many rows they have."""
    people = User.objects.filter(Q(email__iexact=text) | Q(username=text))
    return Q(**{f"{field}__in": list(people.values_list("pk", flat=True))})


FILTERS: dict[str, filters.Filter] = {
    "size": filters.size,
    "created_at": filters.moment,
    "completed_at": filters.moment,
    "filename": filters.start,
    "bucket_name": filters.exact,
    "try_symbols": filters.exact,
    "user": of_user,
}


class UploadPaging(Paging):
    sort: str | None = sort_field(SORTS)


class UploadFilters(Schema):
    size: str | None = Field(None, examples=[">=10MB"])
    created_at: str | None = Field(None, examples=["today"])
    completed_at: str | None = Field(None, examples=["null"])
    filename: str | None = Field(None, description="how it begins")
    bucket_name: str | None = Field(None, description="`!name` for all others")
    try_symbols: bool | None = None
    user: str | None = Field(None, description="an email address; for who may see all uploads")


class UploadRow(Schema):
    id: int
    user: str
    filename: str
    size: int = Field(description="bytes")
    bucket_name: str
    try_symbols: bool
    protocol: Protocol
    members_total: int
    members_done: int
    download_url: str
    error: str
    created_at: datetime
    completed_at: datetime | None
    cancelled_at: datetime | None

    @staticmethod
    def resolve_user(upload: Upload) -> str:
        return upload.user.email or upload.user.get_username()


class Uploads(Paged):
    uploads: list[UploadRow]


class FileOfUpload(Schema):
    id: int
    key: str
    size: int = Field(description="bytes, as stored")
    original_size: int = Field(description="bytes, unpacked")
    update: bool = Field(description="it replaced other content")
    replaced_by_id: int | None = Field(description="the upload that has replaced it with other content")
    compressed: bool
    created_at: datetime
    completed_at: datetime | None


class WholeUpload(UploadRow):
    redirect_urls: list[str]
    skipped_keys: list[str]
    ignored_keys: list[str]
    warnings: list[Any] = Field(description="`key`, `message`; `stored: false` for a refused file")
    content_hash: str
    file_uploads: list[FileOfUpload] = Field(description=f"the first {FILES_SHOWN}")
    files_count: int

    @staticmethod
    def resolve_file_uploads(upload: Upload) -> list[SymbolFile]:
        return list(upload.files.order_by("pk")[:FILES_SHOWN])

    @staticmethod
    def resolve_files_count(upload: Upload) -> int:
        return upload.files.count()


@router.get("", response=Uploads, summary="List uploads")
def list_uploads(request: HttpRequest, paging: Query[UploadPaging], wanted: Query[UploadFilters]) -> object:
    uploads = seen_by(grant_of(request)).filter(filters.where(FILTERS, wanted.dict()))
    return page_of(uploads.defer(*LONG).select_related("user"), paging, SORTS).shown_as("uploads")


@router.get("upload/{int:upload_id}", response=WholeUpload, summary="One upload and its files")
def show_upload(request: HttpRequest, upload_id: int) -> object:
    return one(grant_of(request), upload_id)


@router.post(
    "upload/{int:upload_id}/cancel",
    response=UploadRow,
    summary="Stop an upload of yours",
    openapi_extra=may_answer(HTTPStatus.BAD_REQUEST),
)
def cancel_upload(request: HttpRequest, upload_id: int) -> object:
    """Files that are stored already stay."""
    upload = one(grant_of(request), upload_id)
    archive_upload.cancel(upload, grant_of(request).user)
    return upload


def seen_by(grant: Grant) -> QuerySet[Upload]:
    return Upload.objects.all() if AUDITOR in grant.permissions else Upload.objects.filter(user=grant.user)


def one(grant: Grant, upload_id: int) -> Upload:
    """Another's upload is as absent as none."""
    upload = seen_by(grant).select_related("user").filter(pk=upload_id).first()
    if upload is None:
        raise Absent("Upload not found")
    return upload
