from __future__ import annotations

import pytest
from django.http import QueryDict

from tecken.download.protocols.tecken import TRY_ROOT, parse
from tecken.errors import BadModule
from tecken.symbols.layouts import FileKey

ID = "44E4EC8C2F41492B9369D6B9A059577C2"
NAMES = "xul.pdb", ID.lower(), "xul.sym"


@pytest.mark.parametrize(
    ("query", "root", "with_try"),
    [
        ("", "", False),
        ("code_id=AB", "", False),
        ("try", "", True),
        ("try=0", "", True),
        ("", TRY_ROOT, True),
    ],
)
def test_parse_try_files_are_included_by_path_or_query(query: str, root: str, with_try: bool) -> None:
    request = parse(QueryDict(query), *NAMES, root=root)
    assert (request.key, request.with_try, request.root) == (
        FileKey("xul.pdb", ID, "xul.sym"),
        with_try,
        root,
    )


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", ("", "")),
        ("code_file=xul.dll&code_id=5ab38077a000", ("xul.dll", "5AB38077A000")),
        ("code_file=xul.dll&code_id=nonsense", ("", "")),
        ("code_file=a%2Fb&code_id=5ab38077a000", ("", "")),
    ],
)
def test_parse_code_file_and_id_in_the_query_are_kept_when_valid(query: str, code: tuple[str, str]) -> None:
    request = parse(QueryDict(query), *NAMES)
    assert (request.code_file, request.code_id) == code


def test_parse_name_with_a_control_character_is_refused() -> None:
    with pytest.raises(BadModule):
        parse(QueryDict(), "a\nb", ID, "xul.sym")
