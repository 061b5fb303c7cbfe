"""Coverage-guided fuzzing of the upload parser, until a promise is broken or the time is up.

names    an archive member's name
archive  zip archives, built member by member with any field changed, or any bytes at all
form     multipart bodies; the boundary and the parts' headers may be wrong
view     POST /upload/ with such archives and forms, a database and a storage behind it

Needs `pip install atheris`. What it finds belongs into tests/upload/test_fuzz_findings.py.
"""

from __future__ import annotations

import argparse
import gzip
import os
import struct
import subprocess
import sys
import traceback
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import sha256
from io import BytesIO, StringIO
from pathlib import Path

import atheris

from bench import rig

CORPUS = Path(".cache") / "fuzz"
BOUNDARY = b"MoreThanDashes"
NAMES = (
    "a.so/0123456789ABCDEF0/a.so.sym",
    "a.so/0123456789abcdef0/a.so.sym",
    "xul.pdb/44E4EC8C2F41492B9369D6B9A059577C2/xul.pd_",
    "build-symbols.txt",
    ".DS_Store",
    "../../etc/passwd",
    "/a/b/c",
    "a/../c",
    "a\\b\\c",
    "a/1/\x00",
    "a/1/",
    "日本/AB/語.sym",
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=sorted(TARGETS))
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--case", type=Path, help="run this one again, and nothing else")
    options = parser.parse_args()
    corpus = CORPUS / options.what
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    if options.what == "view" and "REDIS_URL" not in os.environ:
        sys.exit(beside_servers())
    enter_site()
    limits = [f"-max_total_time={options.seconds}", "-max_len=65536", "-timeout=20", "-rss_limit_mb=1024"]
    what = [str(options.case)] if options.case else [str(corpus), "-print_final_stats=1"]
    check = noted(TARGETS[options.what](), corpus.parent / f"{options.what}-found")
    atheris.Setup([sys.argv[0], *what, *limits, f"-artifact_prefix={corpus.parent}/{options.what}-"], check)
    atheris.Fuzz()


def beside_servers() -> int:
    """Run the command again with both Redis servers, because a fuzzer exits without cleaning up."""
    with rig.redis_pair(DATABASE_URL="sqlite://:memory:", SYMBOL_SOURCES="") as environment:
        command = [sys.executable, "-m", "bench.fuzz_upload", *sys.argv[1:]]
        return subprocess.run(command, env=environment, check=False).returncode


def noted(check: Callable[[bytes], None], folder: Path) -> Callable[[bytes], None]:
    """Store the first case of each finding in `folder`, and continue."""
    known: set[str] = set()

    def keep_on(data: bytes) -> None:
        try:
            check(data)
        except Exception as error:  # noqa: BLE001 - whatever it is
            place = traceback.extract_tb(error.__traceback__)[-1]
            name = f"{type(error).__name__}-{Path(place.filename).stem}-{place.lineno}"
            if name not in known:
                known.add(name)
                folder.mkdir(exist_ok=True)
                (folder / name).write_bytes(data)
                traceback.print_exc()

    return keep_on


def enter_site() -> None:
    """Set Django up. The parsers that are instrumented must be imported here for the first time."""
    import django  # noqa: PLC0415

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tecken.settings")
    sys.modules.pop("zipfile", None)
    with atheris.instrument_imports(include=["zipfile", "tecken.upload", "django.http.multipartparser"]):
        import zipfile  # noqa: F401, PLC0415

        import django.http.multipartparser  # noqa: PLC0415

        django.setup()
        import tecken.upload.archive  # noqa: PLC0415
        import tecken.upload.form  # noqa: F401, PLC0415


# Cases


def seeds() -> Iterator[bytes]:
    """Yield the initial inputs. The first byte selects the reader of the rest: `archive_of` or `form_of`."""
    for names in (NAMES[:1], NAMES[:2], NAMES[:4], NAMES):
        with BytesIO() as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                for name in names:
                    archive.writestr(name, b"MODULE Linux x86_64 0123456789ABCDEF0 a.so\n" * 20)
            yield b"\x00" + file.getvalue()
            yield b"\x00" + whole_form(file.getvalue())
    yield b"\xff" + bytes(range(256)) * 8


def archive_of(data: bytes) -> bytes:
    """Return an archive: the bytes as they are, or members with any field changed."""
    if not data or data[0] < 64:
        return data[1:]
    choices = atheris.FuzzedDataProvider(data[1:])
    places, local = [], b""
    for _ in range(choices.ConsumeIntInRange(0, 6)):
        here, central = member(choices, len(local))
        local += here
        places.append(central)
    directory = b"".join(places)
    counts = [odd(choices, len(places), 0xFFFF)] * 2
    end = struct.pack(
        "<4s4H2LH",
        b"PK\x05\x06",
        0,
        0,
        *counts,
        odd(choices, len(directory), 0xFFFFFFFF),
        odd(choices, len(local), 0xFFFFFFFF),
        0,
    )
    return local + directory + end


def member(choices: atheris.FuzzedDataProvider, offset: int) -> tuple[bytes, bytes]:
    """Return a member at `offset`, and its entry in the directory."""
    name = a_name(choices).encode("utf-8", "surrogatepass")
    content = choices.ConsumeBytes(64) * choices.ConsumeIntInRange(0, 100)
    method = odd(choices, choices.PickValueInList([0, 8]), 0xFFFF)
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    packed = packer.compress(content) + packer.flush() if method == 8 else content
    fields = [
        odd(choices, 20, 0xFFFF),
        odd(choices, 0x800, 0xFFFF),
        method,
        0,
        0x21,
        odd(choices, zlib.crc32(content), 0xFFFFFFFF),
        odd(choices, len(packed), 0xFFFFFFFF),
        odd(choices, len(content), 0xFFFFFFFF),
        odd(choices, len(name), 0xFFFF),
    ]
    extra = choices.ConsumeBytes(choices.ConsumeIntInRange(0, 40)) if choices.ConsumeBool() else b""
    local = struct.pack("<4s5H3L2H", b"PK\x03\x04", *fields, len(extra)) + name + extra + packed
    tail = [len(extra), 0, 0, 0, odd(choices, 0, 0xFFFFFFFF), odd(choices, offset, 0xFFFFFFFF)]
    return local, struct.pack("<4sH5H3L5H2L", b"PK\x01\x02", 20, *fields, *tail) + name + extra


def a_name(choices: atheris.FuzzedDataProvider) -> str:
    if choices.ConsumeBool():
        return str(choices.PickValueInList(list(NAMES)))
    return "/".join(choices.ConsumeUnicode(20) for _ in range(choices.ConsumeIntInRange(1, 4)))


def odd(choices: atheris.FuzzedDataProvider, usual: int, most: int) -> int:
    """Return the right value in most cases."""
    if choices.ConsumeIntInRange(0, 15):
        return min(usual, most)
    return int(
        choices.PickValueInList([0, 1, most, most - 1, usual + 1 & most, choices.ConsumeIntInRange(0, most)])
    )


def whole_form(archive: bytes, name: bytes = b"symbols.zip") -> bytes:
    head = b'Content-Disposition: form-data; name="%s"; filename="%s"\r\nContent-Type: application/zip' % (
        name,
        name,
    )
    return b"--%s\r\n%s\r\n\r\n%s\r\n--%s--\r\n" % (BOUNDARY, head, archive, BOUNDARY)


def form_of(data: bytes) -> tuple[str, bytes]:
    """Content-Type and body: bytes as they are, or parts with any header."""
    usual = f"multipart/form-data; boundary={BOUNDARY.decode()}"
    if not data or data[0] < 64:
        return usual, data[1:]
    choices = atheris.FuzzedDataProvider(data[1:])
    kind = usual if choices.ConsumeIntInRange(0, 7) else choices.ConsumeUnicodeNoSurrogates(80)
    body = b""
    for _ in range(choices.ConsumeIntInRange(0, 5)):
        body += part(choices)
    return kind, body + b"--" + BOUNDARY + choices.ConsumeBytes(8)


def part(choices: atheris.FuzzedDataProvider) -> bytes:
    name = choices.PickValueInList(
        [b"symbols.zip", b"x.ZIP", b"url", b"try", b"x.rar", choices.ConsumeBytes(30)]
    )
    file = choices.PickValueInList(
        [b"", b'; filename="x.zip"', b"; filename*=UTF-8''%e2%82", choices.ConsumeBytes(30)]
    )
    more = choices.PickValueInList(
        [
            b"",
            b"\r\nContent-Transfer-Encoding: base64",
            b"\r\nContent-Type: a/b; charset=utf-16",
            choices.ConsumeBytes(60),
        ]
    )
    lines = b'--%s\r\nContent-Disposition: form-data; name="%s"%s%s' % (BOUNDARY, name, file, more)
    content = choices.ConsumeBytes(choices.ConsumeIntInRange(0, 300)) * choices.ConsumeIntInRange(1, 400)
    part: bytes = lines + b"\r\n\r\n" + content + b"\r\n"
    return part


# Promises


def names() -> Callable[[bytes], None]:
    from tecken.errors import InvalidInput  # noqa: PLC0415
    from tecken.upload.archive import file_key  # noqa: PLC0415

    def check(data: bytes) -> None:
        made = data[:1] > b"\x40"
        name = a_name(atheris.FuzzedDataProvider(data[1:])) if made else data.decode("latin-1")
        with suppress(InvalidInput):
            key = file_key(name)
            assert str(key).count("/") == 2
            assert str(key).upper() == name.upper()
            assert key.debug_id == key.debug_id.upper()
            assert not {".", "..", ""} & set(key)
            str(key).encode()

    return check


def archive() -> Callable[[bytes], None]:
    from tecken.errors import InvalidInput  # noqa: PLC0415
    from tecken.upload.archive import (  # noqa: PLC0415
        ArchiveLimits,
        Member,
        NotReusable,
        list_members,
    )
    from tecken.upload.zip_archive import open_zip  # noqa: PLC0415

    limits = ArchiveLimits(unpacked=1 << 20, member=1 << 19, members=5, ratio=50)

    def check(data: bytes) -> None:
        with suppress(InvalidInput), open_zip(BytesIO(archive_of(data)), limits) as archive:
            found = list_members(archive, limits, ["qcom"])
            keys = [entry.key for entry in found.members]
            assert len(keys) == len(set(keys)) <= limits.members
            assert len(keys) + len(found.flat) + len(found.ignored) >= 1
            members = [*(entry.member for entry in found.members), *(entry.member for entry in found.flat)]
            for member in members:
                assert member.size <= limits.member
                check_member(member)

    def check_member(member: Member) -> None:
        """Check that a file that is stored as it was packed has the bytes that are unpacked otherwise."""
        packed, unpacked = b"", BytesIO()
        if member.is_reusable:
            with suppress(NotReusable):
                packed = b"".join(member.read_gzip(unpacked.write))
        try:
            text = b"".join(member.read())
        except InvalidInput:
            assert not packed
        else:
            assert len(text) <= member.size
            assert not packed or gzip.decompress(packed) == text == unpacked.getvalue()

    return check


def form() -> Callable[[bytes], None]:
    from django.test import RequestFactory  # noqa: PLC0415

    from tecken.errors import InvalidInput  # noqa: PLC0415
    from tecken.upload.form import Archive, receive_archive  # noqa: PLC0415

    make = RequestFactory()
    before = descriptors()

    def check(data: bytes) -> None:
        kind, body = form_of(data)
        request = make.generic("POST", "/upload/", body, content_type=kind)
        with suppress(InvalidInput), receive_archive(request) as found:
            if isinstance(found, Archive):
                held = found.file.read()
                assert len(held) == found.size <= len(body)
                assert sha256(held).hexdigest() == found.digest
            else:
                assert found
        assert descriptors() <= before + 3

    return check


def view() -> Callable[[bytes], None]:
    from django.core.management import call_command  # noqa: PLC0415
    from django.test import Client  # noqa: PLC0415

    call_command("migrate", verbosity=0)
    token = StringIO()
    call_command(
        "createtoken",
        "fuzz@example.com",
        "--permission",
        "upload.upload_symbols",
        "--create-user",
        stdout=token,
    )
    client = Client(headers={"Auth-Token": token.getvalue().strip()})
    before = descriptors() + 20  # connections to Redis among them

    def check(data: bytes) -> None:
        is_form = data[:1] > b"\x80"
        kind, body = form_of(data[1:]) if is_form else form_of(b"\x00" + whole_form(archive_of(data[1:])))
        answer = client.generic("POST", "/upload/", body, content_type=kind)
        assert answer.status_code in (201, 400, 413), answer.content
        said = answer.json()
        if answer.status_code == 201:
            assert said["upload"]["members_done"] == said["upload"]["members_total"]
            assert said["upload"]["completed_at"]
        else:
            assert said["error"]
        assert descriptors() <= before

    return check


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


TARGETS = {"names": names, "archive": archive, "form": form, "view": view}

if __name__ == "__main__":
    main()
