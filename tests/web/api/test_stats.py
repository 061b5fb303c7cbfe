from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from tecken.storage.models import Blob
from tests.web.api.people import key_of, person
from tests.web.api.rows import file_of, upload_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clear_redis_cache")]


def stats(client: Client, key: str) -> dict[str, dict[str, object]]:
    reply = client.get("/api/stats/", headers={"Auth-Token": key})
    assert reply.status_code == 200, reply.content
    found: dict[str, dict[str, object]] = reply.json()["stats"]
    return found


def test_stats_of_others_are_for_auditors(client: Client) -> None:
    now = timezone.now()
    builder = person("build@example.com", "upload.upload_symbols")
    upload = upload_of(builder, size=10)
    upload_of(builder, size=100, created_at=now - timedelta(days=1))
    upload_of(builder, size=1000, created_at=now - timedelta(days=29))
    upload_of(builder, size=10_000, created_at=now - timedelta(days=30))
    upload_of(person("other@example.com"), size=5)
    file_of(upload, size=7)
    key = key_of(builder)
    own = stats(client, key)
    assert own["uploads"] == {
        "today": {"count": 1, "total_size": 10},
        "yesterday": {"count": 1, "total_size": 100},
        "last_30_days": {"count": 3, "total_size": 1110},
    }
    assert own["files"]["last_30_days"] == {"count": 1, "total_size": 7}
    assert own["tokens"] == {"all": 1, "expired": 0}
    everybodys = stats(client, key_of(person("audit@example.com", "upload.view_all_uploads")))
    assert everybodys["uploads"]["today"] == {"count": 2, "total_size": 15}


def test_stats_content_of_several_files_counts_once(client: Client) -> None:
    builder = person("build@example.com", "upload.upload_symbols")
    blob = Blob.objects.create(bucket_name="ours", sha256="a" * 64, size=1000, stored_size=300)
    for name in ("one", "two"):
        file_of(upload_of(builder), name, size=300, blob=blob)
    file_of(upload_of(builder), size=7)
    assert stats(client, key_of(builder))["files"]["today"] == {"count": 3, "total_size": 307}


def test_stats_cache_past_days_only(client: Client) -> None:
    now = timezone.now()
    builder = person("build@example.com", "upload.upload_symbols")
    key = key_of(builder)
    stats(client, key)
    upload_of(builder, size=100, created_at=now - timedelta(days=3))
    upload_of(builder, size=10)
    assert stats(client, key)["uploads"]["last_30_days"] == {"count": 1, "total_size": 10}
    cache.clear()
    assert stats(client, key)["uploads"]["last_30_days"] == {"count": 2, "total_size": 110}
