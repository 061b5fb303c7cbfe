"""A site with something to see on every page: people, modules, uploads, misses, versions, a shared stack."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from time import time
from zipfile import ZIP_DEFLATED, ZipFile

import redis

from tecken.jobs.records import DeadLetter, Records
from tests.browser.dumps import crash_dump
from tests.support.sentinel import wait_until
from tests.system.site import Site, end

SAMPLES = Path(__file__).parents[1] / "data" / "samples"
STACK = (SAMPLES / "stack.json").read_text()
SYM = next((SAMPLES / "crash-c").glob("*/crash-c.sym"))
LIBC = "libc.so.6/EC61AC938E5A39B16F9FBD350E3169A50"
OPERATOR, DEVELOPER = "operator@example.com", "developer@example.com"
PASSWORD = "correct horse battery staple"
GIVEN_UP = DeadLetter(
    id="0c5b6a0e-6f4e-4b3e-9a55-5d8b6a5e2f11",
    task="tecken.upload.tasks.keep_upload",
    queue="upload",
    why="OSError: [Errno 28] No space left on device",
    died=time() - 4000,
    args=[1_000_000],
    sent=time() - 4010,
    starts=3,
    retries=2,
    trace='Traceback (most recent call last):\n  File "tecken/tasks.py", line 40, in keep_upload',
)
PEOPLE = f"""
from django.contrib.auth.models import User
from tecken.accounts.tokens import find_permissions
User.objects.create_superuser({OPERATOR!r}, {OPERATOR!r}, {PASSWORD!r})
developer = User.objects.create_user({DEVELOPER!r}, {DEVELOPER!r}, {PASSWORD!r}, is_staff=True)
developer.user_permissions.set(find_permissions(["upload.upload_symbols", "tokens.manage_tokens"]))
"""
FETCHED = """
from tecken.storage.models import FetchedModule
sizes = dict(received_size=6_730_000, stored_size=1_870_000)
FetchedModule.objects.create(
    debug_file="libc.so.6", debug_id="AB1F7BB91B3C7DD8E2A2A1E0D3FD1E090", code_file="libc.so.6",
    code_id="B97B1FAB3C1BD87DE2A2A1E0D3FD1E0956F0C6C0", format="elf",
    upstream="debuginfod+https://debuginfod.debian.net", **sizes)
for number, name in enumerate(["ntdll.pdb", "kernelbase.pdb", "ucrtbase.pdb"], 1):
    FetchedModule.objects.create(
        debug_file=name, debug_id=f"1EB9FACB04C73C5DEA7160764CD333D0{number}",
        code_file=name.replace("pdb", "dll"), code_id=f"5B6D0C1{number}1E1000", format="pdb",
        upstream="symsrv+https://msdl.microsoft.com/download/symbols", **sizes)
"""
WRITE_MISSES = "from tecken.tasks import write_misses; write_misses()"


class BrowsedSite(Site):
    worker: tuple[str, ...] = (
        *("-m", "celery", "--quiet", "-A", "tecken", "worker", "--loglevel", "error"),
        *("--concurrency", "2"),
    )
    beat = ("-m", "celery", "--quiet", "-A", "tecken", "beat", "--loglevel", "error")

    def __init__(self, home: Path, **environment: str) -> None:
        super().__init__(home, None, **environment)
        self._options = {"symbolicate_deadline_seconds": 20}  # what a worker on a busy machine needs
        self.shared = self.minidump = ""
        self._beat: subprocess.Popen[bytes] | None = None
        self._tokens: dict[str, str] = {}

    def _start(self) -> None:
        super()._start()
        self.run(PEOPLE)
        self.manage("symbols", "add", str(SAMPLES))
        self.token(OPERATOR)
        self.upload(archive("crash-c", "libcrash-cpp.so"))
        self.miss(LIBC)
        self.run(WRITE_MISSES)
        self.run(FETCHED)
        self.shared = self._share(STACK)
        self.minidump = self._process(crash_dump())
        self.bury(GIVEN_UP)
        self.manage("config", "set", "log_level", "INFO", "--why", "quiet again")

    def start_worker(self) -> None:
        super().start_worker()
        self._beat = self._python([*self.beat])

    def stop_worker(self) -> None:
        end(self._beat)
        super().stop_worker()

    def run(self, code: str) -> None:
        self.manage("shell", "--no-imports", "--command", code)

    def upload(self, content: bytes, name: str = "symbols.zip", person: str = DEVELOPER) -> None:
        headers = {"Auth-Token": self.token(person)}
        self._client.post("/upload/", headers=headers, files={name: content}).raise_for_status()

    def miss(self, module: str) -> None:
        """A download of what nobody has."""
        self._client.get(f"/{module}/{module.partition('/')[0]}.sym")

    def bury(self, letter: DeadLetter) -> None:
        with redis.Redis.from_url(self.cache.url.removesuffix("0") + "1") as queue:
            Records(queue).store_letter(letter)

    def token(self, person: str) -> str:
        """The same one each time."""
        if person not in self._tokens:
            wanted = ("--permission", "upload.upload_symbols", "--note", "builds of the main branch")
            self._tokens[person] = self.manage("createtoken", person, *wanted).strip()
        return self._tokens[person]

    def arguments(self, name: str) -> dict[str, object]:
        """With which the URL of this name leads somewhere."""
        file, _, number = LIBC.partition("/")
        known: dict[str, dict[str, object]] = {
            "shared": {"name": self.shared},
            "minidump": {"name": self.minidump},
            "config-version": {"number": 1},
            "upload": {"number": 1},
            "usage-token": {"number": 1},
            "usage-user": {"number": 1},
            "explained": {"debug_file": file, "debug_id": number},
            "job": {"number": GIVEN_UP.id},
        }
        return known.get(name, {})

    def _process(self, dump: bytes) -> str:
        """Send a minidump, and wait for its report."""
        headers = {"User-Agent": "Crashpad/1.0"}
        reply = self._client.post("/process/minidump", files={"upload_file_minidump": dump}, headers=headers)
        name = reply.raise_for_status().text
        wait_until(lambda: self._client.get(f"/process/minidump/{name}").status_code == 200, 30, "the report")
        return name

    def _share(self, text: str) -> str:
        form = self._client.get("/symbolicate/").text
        found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form)
        assert found, form
        sent = {"csrfmiddlewaretoken": found[1], "text": text, "do": "share"}
        reply = self._client.post("/symbolicate/", data=sent)
        assert reply.status_code == 302, reply.text
        return reply.headers["Location"].rstrip("/").rpartition("/")[2]


def archive(*modules: str) -> bytes:
    paths = [path for module in modules for path in (SAMPLES / module).glob("*/*.sym")]
    return archive_of({str(path.relative_to(SAMPLES)): path.read_text() for path in paths})


def archive_of(members: Mapping[str, str | bytes]) -> bytes:
    packed = BytesIO()
    with ZipFile(packed, "w", ZIP_DEFLATED) as made:
        for name, text in members.items():
            made.writestr(name, text)
    return packed.getvalue()
