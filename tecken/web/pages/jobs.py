"""Pages of jobs: queues, workers and dead letters, with forms to retry or drop dead letters."""

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
from django.urls import path, reverse
from django.views.decorators.http import require_http_methods, require_safe

from tecken.errors import InvalidInput, NotFound, Unavailable
from tecken.jobs.keys import CONVERT, HOUSEKEEPING, UPLOAD
from tecken.jobs.records import DeadLetter, Queue, backlog, records, send_again
from tecken.jobs.sending import FIRST, NEXT
from tecken.redisclient import services as redis_services
from tecken.runtimeconfig import current
from tecken.web.auth import OPERATE, Group, SitePage, need, page
from tecken.web.charts import HOURS, load_queue, parse_hours
from tecken.web.pages.config import CHANGE, VIEW, user_of

logger = logging.getLogger(__name__)
# Bounds the dead letters that one request reads.
MAX_READ = 1000
PAGE_LETTERS = 50
MAX_MESSAGES = 5


class ListedLetter(NamedTuple):
    """Dead letter in the list. `why` is the first line of its reason."""

    letter: DeadLetter
    why: str
    died: datetime
    sent: datetime | None


class ListedQueue(NamedTuple):
    """Queue in the list. `urgent` jobs are those that a request waits for; None where no request waits."""

    queue: Queue
    purpose: str
    urgent: int | None


PURPOSES = {
    CONVERT: "conversions of symbol files",
    UPLOAD: "uploads whose client does not wait",
    HOUSEKEEPING: "clean-up and statistics",
}


@page(CHANGE, VIEW)
@require_http_methods(["GET", "HEAD", "POST"])
def show_jobs(request: HttpRequest) -> HttpResponse:
    """Show queues, workers and dead letters, or retry or drop dead letters.

    `?task=` and `?page=` select dead letters, `?hours=` the period of the charts.
    """
    if request.method == "POST":
        need(user_of(request), CHANGE)
        return _run_action(request)
    hours = parse_hours(request.GET.get("hours", ""))
    context = {
        "hours": hours,
        "choices": HOURS,
        "may_change": user_of(request).has_perm(CHANGE),
        **_load_context(request, hours),
    }
    return render(request, "jobs/page.html", context)


@page(CHANGE, VIEW)
@require_safe
def show_dead_letter(request: HttpRequest, number: str) -> HttpResponse:
    """Show everything that is recorded of one dead letter."""
    with _raise_unavailable():
        letter = records().letter(number)
    if letter is None:
        raise NotFound("There is no dead letter of this number, or it has been retried or dropped.")
    arguments = {"args": letter.args, "kwargs": letter.kwargs}
    context = {
        "listed": _listed_letter(letter),
        "arguments": json.dumps(arguments, indent=2, ensure_ascii=False),
        "may_change": user_of(request).has_perm(CHANGE),
    }
    return render(request, "jobs/job.html", context)


def _load_context(request: HttpRequest, hours: int) -> dict[str, Any]:
    try:
        state = backlog(redis_services.queue_client())
        letters = records().letters(MAX_READ)
    except redis.RedisError as error:
        return {"failure": type(error).__name__}
    task = request.GET.get("task", "")
    matching = [letter for letter in letters if task in ("", letter.task)]
    letter_page = Paginator(matching, PAGE_LETTERS).get_page(request.GET.get("page"))
    return {
        "backlog": state,
        "queues": [_list_queue(queue) for queue in state.queues],
        "is_paused": current.is_under_maintenance(),
        "charts": load_queue(hours),
        "task": task,
        "tasks": sorted(Counter(letter.task for letter in letters).items()),
        "letter_page": letter_page,
        "letters": [_listed_letter(letter) for letter in letter_page],
        "letters_read": len(letters) if len(letters) < state.dead else None,
    }


def _list_queue(queue: Queue) -> ListedQueue:
    urgent = queue.by_priority[FIRST] + queue.by_priority[NEXT] if queue.name == CONVERT else None
    return ListedQueue(queue, PURPOSES[queue.name], urgent)


def _listed_letter(letter: DeadLetter) -> ListedLetter:
    first_line = next(iter(letter.why.splitlines()), "")
    sent = None if letter.sent is None else datetime.fromtimestamp(letter.sent, UTC)
    return ListedLetter(letter, first_line, datetime.fromtimestamp(letter.died, UTC), sent)


def _run_action(request: HttpRequest) -> HttpResponse:
    """Retry or drop dead letters.

    `do` is `retry`, `drop`, which shows a page to confirm, or `forget`, which that page sends. It applies to
    each `job`, or with `every` to each letter that the page had `shown`.
    """
    action = ACTIONS.get(request.POST.get("do", ""))
    if action is None:
        raise InvalidInput("do: should be retry, drop or forget")
    chosen = request.POST.getlist("shown" if "every" in request.POST else "job")[:PAGE_LETTERS]
    if not chosen:
        messages.info(request, "No job was chosen.")
        return _redirect_to_jobs(request)
    return action(request, chosen)


def _retry(request: HttpRequest, chosen: Sequence[str]) -> HttpResponse:
    with _raise_unavailable():
        # Each job is sent alone, so that one that is refused does not keep the others.
        letters = [letter for number in chosen if (letter := records().letter(number))]
        refusals = [refusal for letter in letters if (refusal := _send_again(letter))]
    done = len(letters) - len(refusals)
    logger.info("%s has retried %d of %d dead letters", user_of(request).get_username(), done, len(chosen))
    for refusal in refusals[:MAX_MESSAGES]:
        messages.error(request, refusal)
    _add_messages(request, done, "put back into the queue", len(chosen) - len(letters))
    return _redirect_to_jobs(request)


def _send_again(letter: DeadLetter) -> str:
    """Put a job back into its queue. Return the reason if that is refused, else ""."""
    try:
        send_again(letter, records())
    except InvalidInput as error:
        return str(error)
    return ""


def _confirm_drop(request: HttpRequest, chosen: Sequence[str]) -> HttpResponse:
    return render(request, "jobs/drop.html", {"chosen": chosen, "task": request.POST.get("task", "")})


def _drop(request: HttpRequest, chosen: Sequence[str]) -> HttpResponse:
    with _raise_unavailable():
        done = records().drop(chosen)
    logger.info("%s has dropped %d of %d dead letters", user_of(request).get_username(), done, len(chosen))
    _add_messages(request, done, "dropped", len(chosen) - done)
    return _redirect_to_jobs(request)


Action = Callable[[HttpRequest, Sequence[str]], HttpResponse]
ACTIONS: dict[str, Action] = {"retry": _retry, "drop": _confirm_drop, "forget": _drop}


def _add_messages(request: HttpRequest, done: int, result: str, absent: int) -> None:
    if done:
        messages.success(request, f"{done:,} {result}.")
    if absent:
        messages.warning(request, f"{absent:,} had been retried or dropped already.")


@contextmanager
def _raise_unavailable() -> Iterator[None]:
    """Translate errors of Redis. A command may have taken effect although its reply was lost."""
    try:
        yield
    except redis.RedisError as error:
        text = "The queue does not answer. Reload in a moment to see which jobs were changed."
        raise Unavailable(text) from error


def _redirect_to_jobs(request: HttpRequest) -> HttpResponse:
    task = request.POST.get("task", "")
    return redirect(reverse("jobs") + (f"?{urlencode({'task': task})}" if task else ""))


PAGE = SitePage(
    title="Jobs",
    about="See queues, workers, and the jobs that failed.",
    group=Group.OPERATION,
    urls=[
        path("jobs/", show_jobs, name="jobs"),
        path("jobs/<path:number>/", show_dead_letter, name="job"),
    ],
    permissions=OPERATE,
)
