from __future__ import annotations

import io
import re
import stat
import struct
import warnings
import zipfile
import zlib

import pytest

from tecken.errors import InvalidInput, TooLarge
from tecken.symbols.layouts import FileKey
from tecken.upload.archive import ArchiveLimits, Listing, file_key, list_members
from tecken.upload.zip_archive import open_zip
from tests.support.symbol_names import ODD_NAMES
from tests.upload.zips import corrupted, encrypted, overlapping, without_utf8_flag, zipped, zipped_as

LIMITS = ArchiveLimits(unpacked=50 << 20, member=20 << 20, members=10, ratio=100)
NAME = "xul.pdb/44e4ec8c2f41492b9369d6b9a059577c2/xul.sym"
KEY = FileKey("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2", "xul.sym")


def list_archive(archive: bytes, limits: ArchiveLimits = LIMITS) -> Listing:
    with open_zip(io.BytesIO(archive), limits) as opened:
        return list_members(opened, limits, ["qcom/proprietary"])


def twice(first: bytes, second: bytes, other_name: str = NAME) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return zipped([(NAME, first), (other_name, second)])


def test_list_members_debug_id_in_lower_case_is_upper_case_in_the_key() -> None:
    assert [member.key for member in list_archive(zipped({NAME: b"x"})).members] == [KEY]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_file_key_odd_name_is_accepted(name: str) -> None:
    assert file_key(f"{name}/ABCDEF012/{name}.sym") == FileKey(name, "ABCDEF012", f"{name}.sym")


def test_list_members_files_other_than_symbols_are_ignored() -> None:
    ignored = ["firefox-57.0a1-symbols.txt", ".DS_Store", "xul.pdb/.DS_Store"]
    found = list_archive(zipped({NAME: b"x", "xul.pdb/": b"", **dict.fromkeys(ignored, b"y")}))
    assert [file.name for file in found.ignored] == ignored
    assert [member.key for member in found.members] == [KEY]


@pytest.mark.parametrize(
    "name",
    [
        "xul.sym",
        "a/b/xul.pdb/ABCDEF012/xul.sym",
        "xul.pdb/nothex/xul.sym",
        "xul.pdb//xul.sym",
        "xul.pdb/ABCDEF012/xul\x1b.sym",
        "xul.pdb/firefox-symbols.txt",
        ".build-id/fb/66b3.debug",
        "lib/db/libx.so",
    ],
)
def test_list_members_other_path_than_that_of_a_store_is_flat(name: str) -> None:
    listing = list_archive(zipped({name: b"x"}))
    assert (listing.members, listing.ignored) == ([], [])
    ((parts, member),) = listing.flat
    assert (list(parts), member.name) == (name.split("/"), name)


@pytest.mark.parametrize(
    "name",
    [
        "/pdb/ABCDEF012/xul.sym",
        "/ABCDEF012/xul.sym",
        "../ABCDEF012/xul.sym",
        "xul.pdb/ABCDEF012/..",
        "xul.pdb/ABCDEF012/..\\..\\xul.sym",
        "C:\\xul.pdb\\ABCDEF012\\xul.sym",
    ],
)
def test_list_members_path_out_of_the_archive_is_refused(name: str) -> None:
    text = (
        "Unrecognized file pattern. Should only be <module>/<hex>/<file> or <name>-symbols.txt "
        "and nothing else. "
        f"(First unrecognized pattern was {name})"
    )
    with pytest.raises(InvalidInput, match=f"^{re.escape(text)}$"):
        list_archive(zipped({name: b"x"}))


@pytest.mark.parametrize("top", ["", "build/"])
def test_list_members_description_of_a_dsym_bundle_is_ignored(top: str) -> None:
    symbols = f"{top}x.dSYM/Contents/Resources/DWARF/x"
    others = [f"{top}x.dSYM/Contents/Info.plist", f"{top}x.dSYM/Contents/Resources/Relocations/x.yml"]
    listing = list_archive(zipped(dict.fromkeys([symbols, *others], b"x")))
    assert [entry.member.name for entry in listing.flat] == [symbols]
    assert listing.ignored == [(name, "") for name in others]


def test_list_members_packed_dsym_of_a_store_is_a_member() -> None:
    name = "XUL.dSYM/44E4EC8C2F41492B9369D6B9A059577C0/XUL.dSYM.tar.bz2"
    assert [str(entry.key) for entry in list_archive(zipped({name: b"x"})).members] == [name]


@pytest.mark.parametrize(
    "kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK, stat.S_IFDIR]
)
def test_list_members_link_or_special_file_is_refused_with_its_name(kind: int) -> None:
    with pytest.raises(
        InvalidInput, match=re.escape(f"a link or special file, send the file itself: {NAME}")
    ):
        list_archive(zipped_as([(NAME, kind | 0o644)]))


def test_list_members_windows_link_is_refused() -> None:
    entry = zipfile.ZipInfo(NAME)
    entry.create_system, entry.external_attr = 0, 0x420
    with pytest.raises(InvalidInput, match="a link or special file"):
        list_archive(zipped([(entry, b"x")]))


@pytest.mark.parametrize("mode", [0, 0o600, stat.S_IFREG | 0o755])
def test_list_members_regular_file_of_any_mode_is_a_member(mode: int) -> None:
    assert len(list_archive(zipped_as([(NAME, mode)])).members) == 1


@pytest.mark.parametrize(
    ("system", "raw", "expected"),
    [
        (3, "größe.so".encode(), "größe.so"),
        (19, "größe.so".encode(), "größe.so"),
        (3, "größe.so".encode("cp437"), "größe.so"),
        (0, "größe.so".encode("cp437"), "größe.so"),
        (0, "größe.so".encode(), "gr├╢├ƒe.so"),
    ],
)
def test_member_name_without_utf8_flag_is_read_by_its_system(system: int, raw: bytes, expected: str) -> None:
    (member,) = list_archive(without_utf8_flag(raw, system)).members
    assert member.key.debug_file == expected
    assert member.member.name.startswith(expected)


@pytest.mark.parametrize(("checksum_of", "expected"), [(b"gr__e.so", "größe.so"), (b"other", "gr__e.so")])
def test_member_name_unicode_path_field_counts_if_its_checksum_fits(
    checksum_of: bytes, expected: str
) -> None:
    tail = "/ABCDEF012/x.sym"
    checksum = zlib.crc32(checksum_of + tail.encode())
    field = struct.pack("<BL", 1, checksum) + f"größe.so{tail}".encode()
    entry = zipfile.ZipInfo(f"gr__e.so{tail}")
    entry.extra = struct.pack("<HH", 0x7075, len(field)) + field
    (member,) = list_archive(zipped([(entry, b"x")])).members
    assert member.key.debug_file == expected


@pytest.mark.parametrize(
    "name",
    [
        "./xul.pdb/44e4ec8c2f41492b9369d6b9a059577c2/xul.sym",
        "xul.pdb\\44e4ec8c2f41492b9369d6b9a059577c2\\xul.sym",
        "symbols/xul.pdb/44e4ec8c2f41492b9369d6b9a059577c2/xul.sym",
        "./symbols\\xul.pdb/44e4ec8c2f41492b9369d6b9a059577c2/./xul.sym",
    ],
)
def test_list_members_other_spellings_of_a_path_are_accepted(name: str) -> None:
    assert [member.key for member in list_archive(zipped({name: b"x"})).members] == [KEY]


def test_list_members_files_of_archivers_and_symbol_stores_are_ignored() -> None:
    ignored = [
        "__MACOSX/xul.pdb/ABCDEF012/._xul.sym",
        *("._xul.pdb", "xul.pdb/ABCDEF012/._xul.sym", "xul.pdb/Thumbs.db", "desktop.ini"),
        *("a-symbols.txt", "pingme.txt", "000Admin/history.txt", "index2.txt"),
        *("xul.pdb/ABCDEF012/refs.ptr", "xul.pdb/ABCDEF012/file.ptr"),
    ]
    for top in ("", "store/"):
        names = [top + name for name in ignored]
        found = list_archive(
            zipped({top + NAME: b"x", **dict.fromkeys(names, b"y")}), LIMITS._replace(members=20)
        )
        assert [file.name for file in found.ignored] == names
        assert [member.key for member in found.members] == [KEY]


def test_list_members_two_top_directories_are_flat() -> None:
    names = [f"a/{NAME}", f"b/{NAME}"]
    assert [entry.member.name for entry in list_archive(zipped(dict.fromkeys(names, b"x"))).flat] == names


@pytest.mark.parametrize(
    "name", [".", "./.", "__MACOSX/../../x", "C:/xul.pdb/ABCDEF012/xul.sym", "\\\\host/a/b"]
)
def test_list_members_paths_that_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="Unrecognized file pattern"):
        list_archive(zipped({NAME: b"x", name: b"x"}))


def test_list_members_ignored_name_with_nul_is_refused() -> None:
    archive = zipped({NAME: b"x", "xul.pdb~/.DS_Store": b"x"}).replace(b"xul.pdb~/", b"xul.pdb\0/")
    with pytest.raises(InvalidInput, match="Unrecognized file pattern"):
        list_archive(archive)


def test_file_key_debug_id_without_age_gets_age_0() -> None:
    assert file_key(f"a.so/{'ab' * 16}/a.so.sym").debug_id == "AB" * 16 + "0"


def test_list_members_name_with_nul_is_refused() -> None:
    with pytest.raises(InvalidInput, match="Unrecognized file pattern"):
        list_archive(zipped({NAME + "~abc": b"x"}).replace(b"~abc", b"\0abc"))


@pytest.mark.parametrize("archive", [b"", b"not a zip", zipped({NAME: b"x" * 9})[:-30]])
def test_open_zip_other_file_than_zip_is_refused(archive: bytes) -> None:
    with pytest.raises(InvalidInput, match=r"^File is not a zip file$"):
        list_archive(archive)


def test_list_members_archive_without_files_is_refused() -> None:
    with pytest.raises(InvalidInput, match="has no files"):
        list_archive(zipped({}))


def test_list_members_two_different_files_with_one_name_are_refused() -> None:
    text = (
        f"The zipfile buffer contains two files both called {NAME} and they have difference sizes (24 != 39)"
    )
    with pytest.raises(InvalidInput, match=f"^{re.escape(text)}$"):
        list_archive(twice(b"x" * 24, b"x" * 39))
    with pytest.raises(InvalidInput, match="different content"):
        list_archive(twice(b"x" * 24, b"y" * 24))


def test_list_members_same_file_twice_is_one_member() -> None:
    assert len(list_archive(twice(b"x", b"x")).members) == 1


def test_list_members_debug_ids_differing_in_case_are_one_name() -> None:
    with pytest.raises(InvalidInput, match="two files both called"):
        list_archive(twice(b"x", b"yy", NAME.replace("44e4ec", "44E4EC")))


def test_list_members_name_with_forbidden_snippet_is_refused() -> None:
    text = "Content of archive file contains the snippet 'qcom/proprietary' which is not allowed"
    with pytest.raises(InvalidInput, match=f"^{text}$"):
        list_archive(zipped({"vendor/qcom/proprietary/xul.sym": b"x"}))


def test_list_members_encrypted_member_is_refused() -> None:
    with pytest.raises(InvalidInput, match="encrypted"):
        list_archive(encrypted(zipped({NAME: b"x"})))


def test_list_members_other_compression_than_deflate_is_refused() -> None:
    with pytest.raises(InvalidInput, match="neither deflated nor stored"):
        list_archive(zipped({NAME: b"x"}, zipfile.ZIP_BZIP2))


def test_list_members_overlapping_members_are_refused() -> None:
    archive = zipped({NAME: b"x" * 100, NAME.replace("xul.sym", "xul.pd_"): b"x" * 100})
    with pytest.raises(InvalidInput, match="overlap"):
        list_archive(overlapping(archive))


@pytest.mark.parametrize(
    ("limit", "text"),
    [
        ({"members": 1}, "has 2 files, at most 1"),
        ({"unpacked": 3_999_999}, "unpacks to 4000000 bytes, at most 3999999"),
        ({"member": 1_999_999}, "has 2000000 bytes, at most 1999999"),
        ({"ratio": 500}, "unpacks to more than 500 times its size"),
    ],
)
def test_list_members_archive_over_a_limit_is_refused(limit: dict[str, int], text: str) -> None:
    archive = zipped({NAME: bytes(2_000_000), NAME.replace("xul.sym", "xul.pd_"): bytes(2_000_000)})
    within = LIMITS._replace(members=2, unpacked=4_000_000, member=2_000_000, ratio=2000)
    assert len(list_archive(archive, within).members) == 2
    with pytest.raises(TooLarge, match=text):
        list_archive(archive, within._replace(**limit))


def test_open_zip_directory_over_the_limit_is_not_read() -> None:
    names = {f"m/{number:032x}/m.sym": b"" for number in range(6000)}
    with pytest.raises(TooLarge, match="directory"):
        list_archive(zipped(names, zipfile.ZIP_STORED))


def test_zip_member_read_yields_the_bytes_that_were_packed() -> None:
    limits = LIMITS._replace(ratio=2000)
    with open_zip(io.BytesIO(zipped({NAME: b"x" * 3_000_000})), limits) as archive:
        (entry,) = list_members(archive, limits).members
        assert b"".join(entry.member.read()) == b"x" * 3_000_000


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_zip_member_read_broken_member_raises_with_its_name(compression: int) -> None:
    with open_zip(io.BytesIO(corrupted(zipped({NAME: b"x" * 99}, compression))), LIMITS) as archive:
        (entry,) = list_members(archive, LIMITS).members
        with pytest.raises(InvalidInput, match=f"^{NAME} cannot be unpacked: Bad CRC-32"):
            list(entry.member.read())
