"""RPM packages over HTTP, and those with every fault."""

from __future__ import annotations

import bz2
import random

import pytest

from tests.support.options import Override
from tests.upload.rpms import DIRECTORY, LINK, REGULAR, cpio, rpm
from tests.upload.tars import PACKERS
from tests.upload.test_forms import ELF_KEY, error, keys, native, reasons, send, upload
from tests.upload.uploaders import Makes, Uploader, stored

pytest_plugins = ["tests.upload.site"]
pytestmark = pytest.mark.django_db

DEBUG = "./usr/lib/debug/usr/lib64/libnative.so.debug"
NAME = "libnative-debuginfo.rpm"
FILES = [
    ("./usr/lib/debug", DIRECTORY, b""),
    (DEBUG, REGULAR, native("libnative.so.debug")),
    ("./usr/lib/debug/.build-id/25/9af2.debug", LINK, b"../../usr/lib64/libnative.so.debug"),
    ("./usr/lib64/libnative.so", REGULAR, native("libnative.so")),
    ("./usr/share/doc/README", REGULAR, b"odd"),
]


@pytest.fixture
def builder(uploader: Makes) -> Uploader:
    return uploader()


@pytest.mark.parametrize("packer", PACKERS.values(), ids=PACKERS)
def test_upload_rpm_package_stores_its_native_files(builder: Uploader, packer: object) -> None:
    assert callable(packer)
    answer = upload(builder, rpm(packer(cpio(FILES))), NAME)
    debug = ELF_KEY._replace(file_name="libnative.so.debug")
    assert keys() == [f"v1/{ELF_KEY}", f"v1/{debug}"]
    assert (stored(ELF_KEY), stored(debug)) == (native("libnative.so"), native("libnative.so.debug"))
    ignored = reasons(answer)
    assert ignored[FILES[2][0]] == "not stored: it is a link or a special file"
    assert ignored[FILES[4][0]] == "not stored: it is of no known format"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (rpm(cpio(FILES))[:60], "has a broken header"),
        (rpm(cpio(FILES))[:120], "has a broken header"),
        (rpm(cpio(FILES))[:400], "ends early"),
        (rpm(cpio(FILES, ends=False)), "ends early, or has a broken member"),
        (rpm(b""), "ends early, or has a broken member"),
        (rpm(bz2.compress(cpio(FILES))), "ends early, or has a broken member"),
        (rpm(b"07070X" + bytes(200)), "has a file of more than 4 GiB"),
        (rpm(cpio([("x" * 5000, REGULAR, b"")])), "has a name of 5001 bytes"),
        (rpm(cpio(FILES).replace(b"070701", b"070701-", 1)), "has a broken member"),
        (rpm(cpio([("../x", REGULAR, b"x")])), "Unrecognized file pattern"),
    ],
)
def test_upload_of_a_broken_rpm_package_is_400(builder: Uploader, content: bytes, reason: str) -> None:
    status, text = error(builder, content, NAME)
    assert (status, reason in text) == (400, True), text
    assert keys() == []


def test_upload_rpm_package_of_many_directories_is_413(builder: Uploader, runtime_options: Override) -> None:
    runtime_options(upload_max_members=2)
    many = [(f"{number}", DIRECTORY, b"") for number in range(9)]
    assert error(builder, rpm(cpio(many)), NAME)[0] == 413
    assert error(builder, rpm(cpio(FILES)), NAME)[0] == 413


def test_upload_rpm_package_that_unpacks_to_too_much_is_413(builder: Uploader) -> None:
    content = rpm(PACKERS[".zst"](cpio({"./x": bytes(8_000_000)})))
    assert error(builder, content, NAME)[0] == 413


def test_upload_of_changed_rpm_packages_is_refused_at_worst(builder: Uploader) -> None:
    chance = random.Random(1)
    good = rpm(cpio([("./x/native.pdb", REGULAR, native("native.pdb")[:4096])]))
    for _ in range(30):
        content = bytearray(good)
        for _ in range(chance.choice((1, 4))):
            content[chance.randrange(4, 400)] = chance.randrange(256)
        assert error_status(builder, bytes(content)) in (201, 400, 413)


def error_status(builder: Uploader, content: bytes) -> int:

    status: int = send(builder, content, NAME).status_code
    return status
