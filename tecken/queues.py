"""Names of the job queues. The settings route jobs to them, so that nothing of Django is imported here."""

from __future__ import annotations

CONVERT, UPLOAD, HOUSEKEEPING = QUEUES = ("convert", "upload", "housekeeping")
