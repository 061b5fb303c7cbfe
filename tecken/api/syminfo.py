"""What we know of a module, by its debug file and debug id or by its code file and code id. Public."""

from __future__ import annotations

from django.db.models import Q
from django.http import HttpRequest
from ninja import Router, Schema

from tecken.api.addresses import address_of
from tecken.api.filters import identifier
from tecken.errors import Absent
from tecken.upload.models import FileUpload

router = Router(tags=["modules"])


class SymInfo(Schema):
    debug_file: str
    debug_id: str
    code_file: str
    code_id: str
    generator: str
    url: str


@router.get("{str:file}/{str:id}", response=SymInfo, summary="A module's names and its symbol file")
def syminfo(request: HttpRequest, file: str, id: str) -> object:
    row = _newest(Q(debug_file=file) & identifier("debug_id", id)) or _newest(
        Q(code_file=file) & identifier("code_id", id)
    )
    if row is None:
        raise Absent("Code file / id Not Found")
    names = {name: getattr(row, name) for name in SymInfo.model_fields if name != "url"}
    return names | {"url": request.build_absolute_uri(address_of(row))}


def _newest(named: Q) -> FileUpload | None:
    """A regular file wins over one of a try build."""
    stored = FileUpload.objects.filter(named, completed_at__isnull=False, key__endswith=".sym")
    return stored.order_by("try_symbols", "-created_at", "-pk").first()
