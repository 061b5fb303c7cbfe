"""The program against the server it is for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tecken.client.__main__ import DONE, USAGE, main
from tecken.storage import services as storage_services
from tecken.storage.port import OwnFiles
from tecken.symbols.decompression import decompress
from tecken.symbols.layouts import FileKey
from tecken.upload.models import Upload
from tests.client.site import allow

SAMPLES = Path(__file__).parents[1] / "data" / "samples"
NATIVE = SAMPLES.parent / "native"
SYMS = sorted(SAMPLES.glob("*/*/*.sym"))
pytest_plugins = ["tests.client.site"]
Output = pytest.CaptureFixture[str]


def stored(files: OwnFiles) -> dict[str, bytes]:
    return {str(key): b"".join(decompress(read(files, key), 1 << 20)) for key in files.keys()}  # noqa: SIM118 - no dict


def read(files: OwnFiles, key: FileKey) -> list[bytes]:
    with files.read(key) as chunks:
        return list(chunks)


def sent() -> dict[str, bytes]:
    return {path.relative_to(SAMPLES).as_posix(): path.read_bytes() for path in SYMS}


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize("version", ["1", "2", "auto"])
def test_upload_every_file_is_stored_unchanged(version: str, capsys: Output) -> None:
    assert main([str(SAMPLES), "--protocol", version]) == DONE
    assert stored(storage_services.own_files()) == sent()
    assert f": {len(SYMS)} stored, 0 there before" in capsys.readouterr().out
    assert Upload.objects.get().completed_at is not None


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize("version", ["1", "2"])
def test_upload_second_run_sends_nothing(version: str, capsys: Output) -> None:
    main([str(SAMPLES), "--protocol", version])
    assert main([str(SAMPLES), "--protocol", version]) == DONE
    assert f": 0 stored, {len(SYMS)} there before" in capsys.readouterr().out


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize("version", ["1", "2"])
def test_upload_with_a_try_token_stores_try_symbols(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    allow(monkeypatch, "upload_try_symbols")
    assert main([str(SAMPLES), "--try", "--protocol", version]) == DONE
    assert stored(storage_services.try_files()) == sent()
    assert stored(storage_services.own_files()) == {}


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize("token", ["0" * 32, "nobody's"])
def test_upload_with_an_unknown_token_is_refused(token: str, capsys: Output) -> None:
    assert main([str(SAMPLES), "--token", token]) == USAGE
    assert "403 API Token not matched" in capsys.readouterr().err


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize("version", ["1", "2"])
def test_upload_native_files_are_stored_below_the_ids_in_them(version: str, tmp_path: Path) -> None:
    content = (NATIVE / "libnative.so").read_bytes()
    (tmp_path / "tool").write_bytes(content)
    (tmp_path / "notes").write_text("no module")
    assert main([str(tmp_path), "--protocol", version]) == DONE
    assert stored(storage_services.own_files()) == {"tool/52F29A25810178511980D12EF214D9FA0/tool": content}
