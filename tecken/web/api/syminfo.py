"""Public operation that finds the names of a module by its debug or code identifiers."""

from __future__ import annotations

from django.db.models import Q
from django.http import HttpRequest
from ninja import Router, Schema

from tecken.errors import BadModule, NotFound
from tecken.storage.models import SymbolFile, match_name
from tecken.symbols.filetypes import FileType
from tecken.symbols.ids import code_id, debug_ids_of_code_id
from tecken.web.api.files import address_of
from tecken.web.api.filters import check_storable, debug_identifier, identifier

router = Router(tags=["modules"])


class SymInfo(Schema):
    """Names of a module and the address of its symbol file."""

    debug_file: str
    debug_id: str
    code_file: str
    code_id: str
    generator: str
    url: str


@router.get("{str:file}/{str:id}", response=SymInfo, summary="Find a module's names and its symbol file")
def show_syminfo(request: HttpRequest, file: str, id: str) -> object:
    """Return the module with this debug file and debug id, or with this code file and code id."""
    file, id = check_storable("file", file), check_storable("id", id)
    row = (
        _find_newest(match_name("debug_file", file) & debug_identifier("debug_id", id))
        or _find_newest(match_name("code_file", file) & identifier("code_id", id.replace("-", "")))
        or _find_newest(match_name("debug_file", file) & Q(debug_id__in=_debug_ids(id)))
    )
    if row is None:
        raise NotFound("Code file / id Not Found")
    names = {name: getattr(row, name) for name in SymInfo.model_fields if name != "url"}
    return names | {"url": request.build_absolute_uri(address_of(row))}


def _debug_ids(text: str) -> tuple[str, ...]:
    """Return the debug ids that belong to a whole build id or UUID."""
    try:
        return debug_ids_of_code_id(code_id(text))
    except BadModule:
        return ()


def _find_newest(names: Q) -> SymbolFile | None:
    """Return the newest regular file, else the newest one of a try build."""
    stored = SymbolFile.objects.identifying().filter(names, key__endswith=FileType.SYMBOL_FILE.suffix)
    return stored.order_by("try_symbols", "-created_at", "-pk").first()
