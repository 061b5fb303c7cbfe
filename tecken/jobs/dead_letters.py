"""Dead letters made of unreadable messages, and the retry of a dead letter."""

from __future__ import annotations

import time
from typing import Any

from celery import current_app
from kombu.exceptions import KombuError

from tecken.errors import InvalidInput, Unavailable
from tecken.jobs.records import DeadLetter, Records


def build_letter(message: Any, why: str) -> DeadLetter:
    """Return the dead letter of a message of kombu that is not a valid job."""
    headers = message.headers if isinstance(message.headers, dict) else {}
    args, kwargs = _arguments(message)
    return DeadLetter(
        id=str(headers.get("id") or message.delivery_tag),
        task=str(headers.get("task") or "unknown"),
        queue=message.delivery_info.get("routing_key") or "",
        why=why if args is not None else f"{why}: {message.body!r:.1000}",
        died=time.time(),
        args=args,
        kwargs=kwargs,
        sent=headers.get("sent"),
    )


def _arguments(message: Any) -> tuple[list[Any] | None, dict[str, Any]]:
    try:
        args, kwargs, _ = message.decode()
        return list(args), dict(kwargs)
    except (KombuError, ValueError, TypeError):
        return None, {}


def send_again(letter: DeadLetter, records: Records) -> None:
    """Send a job under the same id into its task's current queue, without an expiry.

    The letter is dropped last, so a crash leaves the job in the queue and among the dead letters. Raises
    InvalidInput, Unavailable.
    """
    if letter.args is None:
        raise InvalidInput(f"{letter.id}: its message cannot be read, so it cannot be sent")
    try:
        current_app.send_task(
            letter.task, args=letter.args, kwargs=letter.kwargs, task_id=letter.id, retry=False
        )
    except (KombuError, OSError) as error:
        raise Unavailable("the queue does not answer") from error
    records.drop([letter.id])
