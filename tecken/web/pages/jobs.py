"""What waits, what runs, who is there to do it, and what was given up."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import urlencode

import redis
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from tecken.errors import Absent, BadInput, CouldNotAsk
from tecken.jobs.backlog import backlog
from tecken.jobs.dead_letters import send_again
from tecken.jobs.records import DeadLetter, records
from tecken.redisclient import services as redis_services
from tecken.web.auth import need, page
from tecken.web.charts.queue import HOURS, drawn, hours_in
from tecken.web.pages.config import CHANGE, VIEW, user_of

logger = logging.getLogger(__name__)
PLACE = {"section": "jobs"}
LOOKED_AT = 1000
"""Of more dead letters not all are read for a page."""
ON_A_PAGE = 50
MOST_TOLD = 5


class Shown(NamedTuple):
    """A dead letter. `why` is its first line."""

    letter: DeadLetter
    why: str
    died: datetime
    sent: datetime | None


@page(CHANGE, VIEW)
@require_http_methods(["GET", "HEAD", "POST"])
def jobs(request: HttpRequest) -> HttpResponse:
    """`?task=` of dead letters, `?page=` of them, `?hours=` of the pictures. When it is sent: see _act."""
    if request.method == "POST":
        need(user_of(request), CHANGE)
        return _act(request)
    hours = hours_in(request.GET.get("hours", ""))
    context = {
        **PLACE,
        "hours": hours,
        "choices": HOURS,
        "may_change": user_of(request).has_perm(CHANGE),
        **_queue(request, hours),
    }
    return render(request, "jobs/page.html", context)


@page(CHANGE, VIEW)
@require_safe
def job(request: HttpRequest, number: str) -> HttpResponse:
    """All that is known of one that was given up."""
    with _asked():
        letter = records().letter(number)
    if letter is None:
        raise Absent("Nobody has given up a job of this number, or somebody has retried or dropped it.")
    told = json.dumps({"args": letter.args, "kwargs": letter.kwargs}, indent=2, ensure_ascii=False)
    context = {
        **PLACE,
        "shown": _shown(letter),
        "told": told,
        "may_change": user_of(request).has_perm(CHANGE),
    }
    return render(request, "jobs/job.html", context)


def _queue(request: HttpRequest, hours: int) -> dict[str, Any]:
    try:
        now = backlog(redis_services.queue_client())
        letters = records().letters(LOOKED_AT)
    except redis.RedisError as error:
        return {"away": type(error).__name__}
    task = request.GET.get("task", "")
    found = [letter for letter in letters if task in ("", letter.task)]
    listed = Paginator(found, ON_A_PAGE).get_page(request.GET.get("page"))
    return {
        "now": now,
        "pictures": drawn(hours),
        "task": task,
        "tasks": sorted(Counter(letter.task for letter in letters).items()),
        "listed": listed,
        "letters": [_shown(letter) for letter in listed],
        "looked_at": len(letters) if len(letters) < now.dead else None,
    }


def _shown(letter: DeadLetter) -> Shown:
    first = next(iter(letter.why.splitlines()), "")
    return Shown(letter, first, _time(letter.died), None if letter.sent is None else _time(letter.sent))


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _act(request: HttpRequest) -> HttpResponse:
    """`do`: `retry`, `drop`, which asks first, or `forget`: of each `job`, or, with `every`, each `shown`."""
    act = ACTS.get(request.POST.get("do", ""))
    if act is None:
        raise BadInput("do: should be retry, drop or forget")
    chosen = request.POST.getlist("shown" if "every" in request.POST else "job")[:ON_A_PAGE]
    if not chosen:
        messages.info(request, "No job was chosen.")
        return _back(request)
    return act(request, chosen)


def _retry(request: HttpRequest, chosen: Sequence[str]) -> HttpResponse:
    with _asked():
        letters = [letter for one in chosen if (letter := records().letter(one))]
        refused = [told for letter in letters if (told := _sent_again(letter))]
    done = len(letters) - len(refused)
    logger.info("%s has put back %d of %d dead letters", user_of(request).get_username(), done, len(chosen))
    for told in refused[:MOST_TOLD]:
        messages.error(request, told)
    _tell(request, done, "put back into the queue", len(chosen) - len(letters))
    return _back(request)


def _sent_again(letter: DeadLetter) -> str:
    """Why not; mostly empty."""
    try:
        send_again(letter, records())
    except BadInput as error:
        return str(error)
    return ""


def _ask_first(request: HttpRequest, chosen: Sequence[str]) -> HttpResponse:
    return render(
        request, "jobs/drop.html", {**PLACE, "chosen": chosen, "task": request.POST.get("task", "")}
    )


def _forget(request: HttpRequest, chosen: Sequence[str]) -> HttpResponse:
    with _asked():
        done = records().drop(chosen)
    logger.info("%s has dropped %d of %d dead letters", user_of(request).get_username(), done, len(chosen))
    _tell(request, done, "dropped", len(chosen) - done)
    return _back(request)


Act = Callable[[HttpRequest, Sequence[str]], HttpResponse]
ACTS: dict[str, Act] = {"retry": _retry, "drop": _ask_first, "forget": _forget}


def _tell(request: HttpRequest, done: int, what: str, gone: int) -> None:
    if done:
        messages.success(request, f"{done:,} {what}.")
    if gone:
        messages.warning(request, f"{gone:,} had been retried or dropped already.")


@contextmanager
def _asked() -> Iterator[None]:
    try:
        yield
    except redis.RedisError as error:
        raise CouldNotAsk("The queue does not answer. Look again in a moment what was done.") from error


def _back(request: HttpRequest) -> HttpResponse:
    task = request.POST.get("task", "")
    return redirect(reverse("jobs") + (f"?{urlencode({'task': task})}" if task else ""))
