from __future__ import annotations

import gzip
import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, resolve
from django.urls.resolvers import RoutePattern
from pytest_django import Settings

from tecken import services, urls
from tecken.download.views import is_expected, is_ignored
from tecken.storage import services as storage_services
from tecken.storage.port import parse_names
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import FileKey, symbol_file
from tests.download.conftest import GZIP, PACKED, PATH, TEXT, XUL, Put
from tests.support.redis_server import free_port

pytestmark = pytest.mark.usefixtures("storage")

PDB = XUL._replace(file_name="xul.pd_")
CABINET = bytes(range(256)) * 10


def test_as_stored_for_whoever_takes_gzip(client: Client, put: Put) -> None:
    put(XUL, PACKED)
    answer = client.get(PATH, headers=GZIP)
    assert (answer.status_code, answer.content) == (200, PACKED)
    assert answer["Content-Encoding"] == "gzip"
    assert answer["Content-Length"] == str(len(PACKED))
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    assert answer["Cache-Control"] == "no-transform"
    assert answer["Vary"] == "Accept-Encoding"
    assert answer["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize("accepts", ["", "identity", "br", "gzip;q=0", "*;q=0", "gzip;q=0, *"])
def test_unpacked_for_everybody_else(client: Client, put: Put, accepts: str) -> None:
    put(XUL, PACKED)
    answer = client.get(PATH, headers={"Accept-Encoding": accepts} if accepts else {})
    assert (answer.status_code, answer.content) == (200, TEXT)
    assert "Content-Encoding" not in answer
    assert (answer["Vary"], answer["Accept-Ranges"]) == ("Accept-Encoding", "none")


@pytest.mark.parametrize("accepts", ["gzip", "br, GZIP", "*", "gzip;q=0.5", "identity;q=0, gzip; q=1.000"])
def test_who_takes_gzip(client: Client, put: Put, accepts: str) -> None:
    put(XUL, PACKED)
    assert client.get(PATH, headers={"Accept-Encoding": accepts}).content == PACKED


def test_both_forms_have_an_etag_of_their_own(client: Client, put: Put) -> None:
    put(XUL, PACKED)
    assert client.get(PATH)["ETag"] != client.get(PATH, headers=GZIP)["ETag"]


def test_a_large_file_is_streamed(client: Client, put: Put) -> None:
    text = TEXT + os.urandom(2 << 20).hex().encode()
    put(XUL, gzip.compress(text, 1))
    packed = client.get(PATH, headers=GZIP)
    assert packed.streaming
    assert gzip.decompress(packed.getvalue()) == text
    assert client.get(PATH).getvalue() == text


def test_other_files_are_as_they_are(client: Client, put: Put) -> None:
    put(PDB, CABINET)
    answer = client.get(f"/{PDB}")
    assert (answer.status_code, answer.content) == (200, CABINET)
    assert answer["Content-Type"] == "application/octet-stream"
    assert "Vary" not in answer


def test_an_empty_file(client: Client, put: Put) -> None:
    put(PDB, b"")
    answer = client.get(f"/{PDB}")
    assert (answer.status_code, answer.content, answer["Content-Length"]) == (200, b"", "0")
    assert client.get(f"/{PDB}", headers={"Range": "bytes=0-"}).status_code == 416


def test_head_tells_the_same_without_a_body(client: Client, put: Put) -> None:
    put(XUL, PACKED)
    headers = {**GZIP, "X-Request-Id": "r1"}
    got, head = client.get(PATH, headers=headers), client.head(PATH, headers=headers)
    assert (head.status_code, head.content) == (200, b"")
    assert dict(head.items()) == dict(got.items())


def test_the_debug_id_may_be_in_lower_case(client: Client, put: Put) -> None:
    put(XUL, PACKED)
    assert client.get(PATH.replace(XUL.debug_id, XUL.debug_id.lower())).content == TEXT


@pytest.mark.parametrize(
    "name", ["[vdso]", "<unknown>", "a b~", "符号.pdb", "🦊", "{guid}.xpi", "50%.pdb", "a;b", "a?b#c"]
)
def test_any_name(client: Client, put: Put, name: str) -> None:
    key = symbol_file(ObjectId.parse(name, XUL.debug_id))
    put(key, PACKED)
    assert client.get(f"/{quote(str(key))}").content == TEXT


@pytest.mark.parametrize("name", ["a\nb", "a\x00b", "a\\b", "..", "a" * 1025])
def test_bad_names(client: Client, name: str) -> None:
    for path in (f"{name}/{XUL.debug_id}/xul.sym", f"xul.pdb/{XUL.debug_id}/{name}.sym"):
        if name == ".." and path.endswith("...sym"):
            continue  # "...sym" is a name like any other
        answer = client.get(f"/{quote(path)}")
        assert answer.status_code == 400
        assert "name" in answer.json()["error"]


def test_an_id_that_is_not_hex_is_no_path_of_ours(client: Client) -> None:
    answer = client.get("/xul.pdb/XYZ/xul.sym")
    assert (answer.status_code, answer.json()["error"]) == (404, "Not Found")


def test_not_found(client: Client) -> None:
    answer = client.get(PATH)
    assert answer.status_code == 404
    assert answer.json() == {"error": "Symbol Not Found", "path": PATH}


@pytest.mark.parametrize(
    "path",
    [
        PATH.replace("xul.sym", "file.ptr"),
        f"/xul.pdb/{'0' * 33}/xul.sym",
        f"/xul.pdb/{'0' * 32}/xul.pdb",
        f"/xul.pdb/{'0' * 32}1/xul.sym",
    ],
)
def test_ignored_without_asking_anybody(client: Client, settings: Settings, path: str) -> None:
    settings.STORAGE_URL = "s3://nowhere"
    settings.CACHES = {
        **settings.CACHES,
        "default": {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:1"},
    }
    services.discard_all()
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.json() == {"error": "Symbol Not Found (and ignored)", "path": path}


@pytest.mark.parametrize(
    "key",
    [
        FileKey("xul.pdb", XUL.debug_id, "xul.pdb"),
        FileKey("xul.dll", "5AB38077A000", "xul.dll"),
        FileKey("crash-c", XUL.debug_id, "crash-c"),
        FileKey("libz.so.1.2", XUL.debug_id, "libz.so.1.2.debug"),
        FileKey("XUL", XUL.debug_id[:32] + "0", "XUL.dSYM.zip"),
    ],
    ids=lambda key: key.file_name,
)
def test_download_stored_file_of_any_name_is_served(client: Client, put: Put, key: FileKey) -> None:
    put(key, b"\x7fELF")
    answer = client.get(f"/{key}")
    assert (answer.status_code, answer.content) == (200, b"\x7fELF")


def test_download_unknown_name_of_unusual_ending_is_ignored_and_not_counted(client: Client, put: Put) -> None:
    for _ in range(2):
        answer = client.get(PATH + ".exe")
        assert answer.status_code == 404
        assert answer.json()["error"] == "Symbol Not Found (and ignored)"
    put(XUL._replace(file_name="xul.sym.exe"), b"MZ")
    assert client.get(PATH + ".exe").status_code == 200


@pytest.mark.parametrize("digits", [32, 33])
@pytest.mark.parametrize("stored_digits", [32, 33])
def test_download_debug_id_without_age_is_age_0(
    client: Client, put: Put, digits: int, stored_digits: int
) -> None:
    """Older uploads may be stored under 32 digits; they are found by those digits."""
    whole = "6216C672A8D33EC9CF4A1BAB8B29D00E0"
    put(FileKey("libd.so", whole[:stored_digits], "libd.so.sym"), b"")
    expected = 404 if (stored_digits, digits) == (32, 33) else 200
    assert client.get(f"/libd.so/{whole[:digits].lower()}/libd.so.sym").status_code == expected


@pytest.mark.django_db
def test_download_whole_build_id_leads_to_the_debug_id(client: Client, put: Put) -> None:
    path = "/libz.so.1/6cb9bbdaed9158f912fb09f7f2655e6f2d5ea5a2/libz.so.1.sym"
    assert client.get(path).status_code == 404
    put(FileKey("libz.so.1", "DABBB96C91EDF95812FB09F7F2655E6F0", "libz.so.1.sym"), b"")
    answer = client.get(path + "?a=b")
    assert answer.status_code == 302
    assert answer["Location"] == "/libz.so.1/DABBB96C91EDF95812FB09F7F2655E6F0/libz.so.1.sym?a=b"


def test_download_whole_build_id_of_a_try_build_needs_try(client: Client, put: Put) -> None:
    key = FileKey("libz.so.1", "DABBB96C91EDF95812FB09F7F2655E6F0", "libz.so.1")
    put(key, b"", of_try=True)
    path = "/libz.so.1/6cb9bbdaed9158f912fb09f7f2655e6f2d5ea5a2/libz.so.1"
    assert client.get(path).status_code == 404
    assert client.get(f"/try{path}")["Location"] == f"/try/{key}"


@pytest.mark.parametrize("of_try", [False, True])
def test_download_windows_name_in_another_case_leads_to_the_stored_name(
    client: Client, put: Put, of_try: bool
) -> None:
    """dotnet-symbol and WinDbg ask in lower case."""
    key = FileKey("Xul.PDB", XUL.debug_id, "Xul.pd_")
    path = f"/try/{key}".lower()
    assert client.get(path).status_code == 404
    put(key, CABINET, of_try=of_try)
    for method in (client.get, client.head):
        answer = method(f"{path}?a=b")
        assert (answer.status_code, answer["Location"]) == (302, f"/try/{key}?a=b")
    assert client.get(f"/{key}".lower()).status_code == (404 if of_try else 302)


def test_download_name_of_another_system_in_another_case_is_not_found(client: Client, put: Put) -> None:
    put(FileKey("libXUL.so", XUL.debug_id, "libXUL.so.sym"), PACKED)
    assert client.get(f"/libxul.so/{XUL.debug_id}/libxul.so.sym").status_code == 404


@pytest.mark.parametrize("path", [f"/{PATH}", f"///{PATH}", PATH.replace("/", "//"), f"//try/{PATH}"])
def test_download_slashes_that_follow_each_other_count_as_one(client: Client, put: Put, path: str) -> None:
    put(XUL, PACKED)
    assert client.get("/", PATH_INFO=path).content == TEXT


def test_only_get(client: Client) -> None:
    answer = client.post(PATH)
    assert (answer.status_code, answer["Allow"]) == (405, "GET, HEAD, OPTIONS")


def test_any_page_may_read_it(client: Client, put: Put) -> None:
    for _ in range(2):
        answer = client.get(PATH)
        assert answer["Access-Control-Allow-Origin"] == "*"
        assert "ETag" in answer["Access-Control-Expose-Headers"]
        put(XUL, PACKED)
    assert client.options(PATH).status_code == 200


@pytest.mark.parametrize("value", ["1", "true", "Yes"])
def test_debug_tells_the_time(client: Client, value: str) -> None:
    assert float(client.get(PATH, headers={"Debug": value})["Debug-Time"]) >= 0
    assert "Debug-Time" not in client.get(PATH)


# Conditions and ranges ---------------------------------------------------------------------------------


def test_whoever_has_it_needs_it_not_again(client: Client, put: Put) -> None:
    put(XUL, PACKED)
    first = client.get(PATH)
    for headers in (
        {"If-None-Match": first["ETag"]},
        {"If-None-Match": f'"other", W/{first["ETag"]}'},
        {"If-None-Match": "*"},
        {"If-Modified-Since": first["Last-Modified"]},
    ):
        again = client.get(PATH, headers=headers)
        assert (again.status_code, again.content) == (304, b"")
        assert (again["ETag"], again["Vary"]) == (first["ETag"], "Accept-Encoding")
        assert client.head(PATH, headers=headers).status_code == 304


def test_whoever_has_another_one_gets_this_one(client: Client, put: Put) -> None:
    put(XUL, PACKED)
    old = {"If-Modified-Since": "Thu, 01 Jan 2015 00:00:00 GMT"}
    both = {"If-None-Match": '"other"', "If-Modified-Since": client.get(PATH)["Last-Modified"]}
    for headers in (old, both, {"If-Modified-Since": "nonsense"}):
        assert client.get(PATH, headers=headers).content == TEXT


def test_a_condition_that_must_hold(client: Client, put: Put) -> None:
    put(XUL, PACKED)
    assert client.get(PATH, headers={"If-Match": '"other"'}).status_code == 412
    assert client.get(PATH, headers={"If-Match": client.get(PATH)["ETag"]}).status_code == 200


@pytest.mark.parametrize(
    ("header", "start", "end"), [("bytes=0-9", 0, 10), ("bytes=2550-", 2550, 2560), ("bytes=-1", 2559, 2560)]
)
def test_a_part(client: Client, put: Put, header: str, start: int, end: int) -> None:
    put(PDB, CABINET)
    answer = client.get(f"/{PDB}", headers={"Range": header})
    assert (answer.status_code, answer.content) == (206, CABINET[start:end])
    assert answer["Content-Range"] == f"bytes {start}-{end - 1}/2560"
    assert answer["Content-Length"] == str(end - start)
    assert "ETag" in answer


def test_a_part_of_the_gzip(client: Client, put: Put) -> None:
    put(XUL, PACKED)
    answer = client.get(PATH, headers={**GZIP, "Range": "bytes=5-"})
    assert (answer.status_code, answer.content, answer["Content-Encoding"]) == (206, PACKED[5:], "gzip")


def test_no_parts_of_what_is_unpacked_on_the_way(client: Client, put: Put) -> None:
    put(XUL, PACKED)
    answer = client.get(PATH, headers={"Range": "bytes=5-"})
    assert (answer.status_code, answer.content) == (200, TEXT)


def test_several_parts_are_the_whole(client: Client, put: Put) -> None:
    put(PDB, CABINET)
    answer = client.get(f"/{PDB}", headers={"Range": "bytes=0-1,5-6"})
    assert (answer.status_code, answer.content) == (200, CABINET)


def test_a_part_behind_the_end(client: Client, put: Put) -> None:
    put(PDB, CABINET)
    answer = client.get(f"/{PDB}", headers={"Range": "bytes=2560-"})
    assert (answer.status_code, answer["Content-Range"]) == (416, "bytes */2560")
    assert answer.json() == {"error": "There are only 2560 bytes"}


def test_a_range_means_nothing_to_head(client: Client, put: Put) -> None:
    put(PDB, CABINET)
    answer = client.head(f"/{PDB}", headers={"Range": "bytes=0-1"})
    assert (answer.status_code, answer["Content-Length"]) == (200, "2560")


def test_if_range(client: Client, put: Put) -> None:
    put(PDB, CABINET)
    first, part = client.get(f"/{PDB}"), {"Range": "bytes=0-1"}
    for same in (first["ETag"], first["Last-Modified"]):
        assert client.get(f"/{PDB}", headers={**part, "If-Range": same}).status_code == 206
    for other in ('"other"', f"W/{first['ETag']}", "Thu, 01 Jan 2015 00:00:00 GMT"):
        assert client.get(f"/{PDB}", headers={**part, "If-Range": other}).content == CABINET


# Try builds --------------------------------------------------------------------------------------------


def test_try_builds_only_for_whoever_asks_for_them(client: Client, put: Put) -> None:
    put(XUL, PACKED, of_try=True)
    assert client.get(PATH).status_code == 404
    for path in (f"/try{PATH}", f"{PATH}?try", f"{PATH}?try=1"):
        assert client.get(path).content == TEXT


def test_a_regular_file_comes_before_one_of_a_try_build(client: Client, put: Put) -> None:
    put(XUL, gzip.compress(b"of try"), of_try=True)
    put(XUL, PACKED)
    assert client.get(f"/try{PATH}").content == TEXT


def test_a_debug_file_may_be_called_try(client: Client, put: Put) -> None:
    key = FileKey("try", XUL.debug_id, "try.sym")
    put(key, PACKED)
    assert client.get(f"/{key}").content == TEXT


# What is known -----------------------------------------------------------------------------------------


def test_storage_is_asked_once(client: Client, put: Put, storage: Path) -> None:
    put(PDB, CABINET)
    assert client.head(f"/{PDB}").status_code == 200
    (storage / "rf" / str(PDB)).unlink()
    assert client.head(f"/{PDB}").status_code == 200
    assert client.head(f"/{PDB}?_refresh").status_code == 404


@pytest.mark.usefixtures("storage")
def test_what_is_known_may_not_be_true_any_more(client: Client, put: Put) -> None:
    put(PDB, CABINET)
    assert client.get(f"/{PDB}").status_code == 200
    storage_services.own_files().put(PDB, [b"other"])
    assert client.get(f"/{PDB}").content == b"other"
    storage_services.own_files().delete(PDB)
    assert client.get(f"/{PDB}").status_code == 404


def test_an_absent_file_is_not_asked_for_again(client: Client, storage: Path) -> None:
    assert client.get(PATH).status_code == 404
    storage_services.own_files().put(XUL, [PACKED])  # behind our back
    assert client.get(PATH).status_code == 404
    assert client.get(f"{PATH}?_refresh=1").status_code == 200
    assert client.get(PATH).status_code == 200


@pytest.mark.parametrize("of_try", [False, True])
def test_an_upload_is_visible_at_once(client: Client, put: Put, of_try: bool) -> None:
    assert client.get(f"/try{PATH}").status_code == 404
    put(XUL, PACKED, of_try=of_try)
    assert client.get(f"/try{PATH}").status_code == 200


@pytest.fixture
def no_redis(storage: Path, settings: Settings) -> Iterator[None]:
    default = {**settings.CACHES["default"], "LOCATION": f"redis://127.0.0.1:{free_port()}/0"}
    settings.CACHES = {**settings.CACHES, "default": default}
    services.discard_all()
    yield
    services.discard_all()


@pytest.mark.usefixtures("no_redis")
def test_without_redis_cache_storage_is_asked(client: Client) -> None:
    storage_services.own_files().put(XUL, [PACKED])
    assert client.get(PATH).content == TEXT
    assert client.get(f"/{PDB}").status_code == 404
    assert client.get(PATH.replace("xul.sym", "other.sym")).status_code == 404


def test_a_storage_that_does_not_answer_is_not_a_404(client: Client, settings: Settings) -> None:
    settings.STORAGE_URL = "file:///dev/null/storage"
    services.discard_all()
    for _ in range(2):
        answer = client.get(PATH)
        assert (answer.status_code, answer["Retry-After"]) == (503, "5")


def test_a_broken_file_of_ours_is_our_mistake(client: Client, put: Put) -> None:
    put(XUL, PACKED[:-9])
    assert client.get(PATH).status_code == 500
    assert client.get(PATH, headers=GZIP).content == PACKED[:-9]


# Other features' paths ----------------------------------------------------------------------------------


OURS = [pattern.callback for pattern in urls.downloads if isinstance(pattern, URLPattern)]
EXAMPLES = {"int": "1", "uuid": "0a0a0a0a-0a0a-0a0a-0a0a-0a0a0a0a0a0a"}


def leaves(patterns: list[URLPattern | URLResolver], prefix: str = "/") -> Iterator[tuple[str, URLPattern]]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from leaves(pattern.url_patterns, prefix + str(pattern.pattern))
        else:
            yield prefix + str(pattern.pattern), pattern


def example(route: str) -> str:
    """With hex digits wherever they fit: that is what could be taken for a file."""
    return re.sub(r"<(?:(\w+):)?\w+>", lambda found: EXAMPLES.get(found[1], "abc"), route)


def test_no_path_of_another_feature_is_taken_for_a_file() -> None:
    others = [
        (example(route), pattern)
        for route, pattern in leaves(get_resolver().url_patterns)
        if isinstance(pattern.pattern, RoutePattern) and pattern.callback not in OURS
    ]
    assert len(others) > 5
    assert [path for path, _ in others if resolve(path).func in OURS] == []


def test_ours_is_the_last() -> None:
    assert get_resolver().url_patterns[-len(urls.downloads) :] == urls.downloads
    assert len(OURS) == len(urls.downloads) > 2


@pytest.mark.parametrize(
    ("some_id", "name", "expected"),
    [
        (XUL.debug_id, "file.ptr", True),
        (XUL.debug_id, "FILE.PTR", True),
        ("0" * 32, "xul.sym", True),
        ("0" * 33, "xul.sym", True),
        ("0" * 32 + "a", "xul.pdb", True),
        ("0" * 12, "xul.sym", False),
        (XUL.debug_id, "xul.exe", False),
        (XUL.debug_id, "xul.sym", False),
    ],
)
def test_is_ignored_pointer_or_zero_id_is_true(some_id: str, name: str, expected: bool) -> None:
    assert is_ignored(parse_names("xul.pdb", some_id, name).key) is expected


@pytest.mark.parametrize(("name", "expected"), [("xul.SYM", True), ("x.tar.bz2", True), ("x.exe", False)])
def test_is_expected_compares_the_ending_without_case(name: str, expected: bool) -> None:
    assert is_expected(FileKey("xul.pdb", XUL.debug_id, name), [".sym", ".tar.bz2"]) is expected
