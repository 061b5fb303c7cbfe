"""Where the ids of rows begin: each table has numbers of its own, all above 1,000.

A new database counts every table from 1. A test that mistakes the id of one table for that of another then
passes, and one that compares ids as a page prints them fails only after the thousandth row.
"""

from __future__ import annotations

from typing import Final

from django.apps import apps
from django.db import connection, models

# More rows than the tests of one run add to a table.
IDS_PER_TABLE: Final = 1_000_000


def start_ids_apart() -> None:
    """Let the next id of each table be a multiple of IDS_PER_TABLE plus one."""
    counted = (model for model in apps.get_models() if isinstance(model._meta.pk, models.AutoField))
    tables = sorted({model._meta.db_table for model in counted})
    with connection.cursor() as cursor:
        for place, table in enumerate(tables, start=1):
            last = place * IDS_PER_TABLE
            if connection.vendor == "postgresql":
                cursor.execute("SELECT setval(pg_get_serial_sequence(%s, 'id'), %s)", [table, last])
            else:
                cursor.execute("DELETE FROM sqlite_sequence WHERE name = %s", [table])
                cursor.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (%s, %s)", [table, last])
