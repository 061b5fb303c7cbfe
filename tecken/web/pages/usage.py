"""Pages of usage: of the whole site, of one user and of one token; and exceptions to their limits.

A user without the permission to see the usage of all gets the page of their own.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import path, reverse
from django.views.decorators.http import require_POST, require_safe

from tecken.accounts.models import Token
from tecken.download.missing import harmless_cell
from tecken.errors import BadOption, InvalidInput, NotFound
from tecken.limits.models import utc_today
from tecken.limits.port import SIZES, Scope
from tecken.runtimeconfig import service
from tecken.storage.models import SymbolFile
from tecken.web.api.usage import VIEW, recent_amounts
from tecken.web.auth import Group, SitePage, need, page
from tecken.web.charts import Axis, ChartFrame, Tick, round_axis
from tecken.web.limit_exceptions import add_exception, load_exceptions, remove_exception
from tecken.web.lists import PAGE_ROWS, ListPage, PageList, Paging, load_any_list, parse_order
from tecken.web.pages.config import CHANGE, user_of
from tecken.web.pages.config import VIEW as VIEW_OPTIONS
from tecken.web.usage_figures import (
    DEFAULT_PERIOD,
    FILTERS,
    PERIODS,
    SCOPES,
    UNITS,
    By,
    DailyAmounts,
    Period,
    Selection,
    UsageFilters,
    list_months,
    load_days,
    parse_period,
    select_usage,
)
from tecken.web.usage_rows import (
    Owner,
    UsageRow,
    load_limit_uses,
    load_owners,
    load_ranking,
    load_rows,
    unit_of,
)

TITLES: dict[Scope, str] = {
    "symbolicate": "Symbolication",
    "download": "Downloads",
    "upload": "Uploads",
    "api": "API",
}
MAX_CSV_ROWS = 10_000
CSV_HEADERS = {"Content-Disposition": 'attachment; filename="usage.csv"'}
COLUMNS = ("number", "name", "user", *UNITS, "share", "nearest_limit", "used_of_limit")
WINDOWS = ("second", "minute", "hour", "day", "month")
AMOUNTS = ("requests", "frames", "bytes", *SIZES)


# Charts

WIDTH, HEIGHT, MARKS = 320, 110, 3


class DayChart(NamedTuple):
    """Requests of one kind by day, as SVG path data of bars."""

    title: str
    total: int
    bars: str
    up: Sequence[Tick]
    across: Sequence[Tick]


def draw_days(days: DailyAmounts) -> list[DayChart]:
    """Return a chart for each kind."""
    return [_draw(TITLES[scope], days.period, days.amounts[scope, "requests"]) for scope in SCOPES]


def _draw(title: str, period: Period, amounts: Sequence[int]) -> DayChart:
    frame = ChartFrame(Axis(0, len(amounts), ()), round_axis(0, max(amounts), MARKS), WIDTH, HEIGHT)
    up = [Tick(frame.place((0, mark))[1], _compact(mark)) for mark in frame.y.marks]
    days = period.days
    across = [Tick(frame.place((place + 0.5, 0))[0], f"{days[place]:%d %b}") for place in (0, len(days) - 1)]
    return DayChart(title, sum(amounts), " ".join(_bars(frame, amounts)), up, across)


def _bars(frame: ChartFrame, amounts: Sequence[int]) -> Iterator[str]:
    for place, amount in enumerate(amounts):
        if amount:
            left, top = frame.place((place + 0.1, amount))
            right, _top = frame.place((place + 0.9, amount))
            yield f"M{left} {frame.height}V{top}H{right}V{frame.height}Z"


def _compact(number: float) -> str:
    """Return a number of an axis: 20k, 3M."""
    for unit, power in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= power:
            return f"{number / power:g}{unit}"
    return f"{number:g}"


# The whole site


@page()
@require_safe
def show_usage(request: HttpRequest) -> HttpResponse:
    """Show who uses how much, or return it as a CSV file. Other users see their own usage."""
    user = user_of(request)
    if not user.has_perm(VIEW):
        return _render_owner(request, "users", _find_owner("users", user.pk))
    is_csv = request.GET.get("format") == "csv"
    load = _load_csv_rows if is_csv else load_ranking
    usage = load_any_list(request, UsageFilters, FILTERS, UNITS, load)
    if is_csv and not usage.problem:
        return _write_csv(usage.rows)
    status = HTTPStatus.BAD_REQUEST if usage.problem else HTTPStatus.OK
    return render(request, "usage/list.html", _list_context(request, usage), status=status)


def _list_context(request: HttpRequest, usage: PageList[UsageRow]) -> dict[str, object]:
    by = "users" if usage.query.get("by") == "users" else "tokens"
    kept = {name: usage.query[name] for name in ("period", *FILTERS) if name in usage.query}
    return {
        "list": usage,
        "by": by,
        "tabs": [(title, f"?{urlencode({**kept, 'by': name})}", name == by) for name, title in TABS],
        "csv": f"?{urlencode({**usage.query, 'format': 'csv'})}",
        "kinds": TITLES.items(),
        "most": MAX_CSV_ROWS,
        **_period_context(usage.query, "" if usage.problem else usage.query.get("period", DEFAULT_PERIOD)),
        **_exception_context(request),
    }


TABS = (("tokens", "Tokens"), ("users", "Users"))


def _period_context(query: Mapping[str, str], name: str) -> dict[str, object]:
    """Return what the choice of a period and the charts of the site need; no charts without a name."""
    kept = {key: text for key, text in query.items() if key != "period"}
    context: dict[str, object] = {
        "kept": kept,
        "periods": [
            (f"{days} days", f"?{urlencode({**kept, 'period': days})}", str(days) == name) for days in PERIODS
        ],
        "months": list_months(utc_today()),
        "period_name": name,
    }
    return context | (_days_context(load_days(parse_period(name, utc_today()))) if name else {})


def _days_context(days: DailyAmounts) -> dict[str, object]:
    return {
        "period": days.period,
        "charts": draw_days(days),
        "totals": {unit: days.total(unit) for unit in UNITS},
        "days": list(days.rows),
    }


def _load_csv_rows(values: UsageFilters, paging: Paging) -> ListPage[UsageRow]:
    order = parse_order(paging, UNITS)
    rows, ranked = load_rows(select_usage(values), unit_of(order), MAX_CSV_ROWS, reverse=order.reverse)
    return ListPage(rows, 1, None, ranked.number, total_is_exact=True)


def _write_csv(rows: Sequence[UsageRow]) -> HttpResponse:
    response = HttpResponse(content_type="text/csv; charset=utf-8", headers=CSV_HEADERS)
    writer = csv.writer(response)
    writer.writerow(COLUMNS)
    for row in rows:
        # Names come from users, and a spreadsheet would run one that starts like a formula.
        names = map(harmless_cell, (row.owner.name, row.owner.email))
        nearest = row.limits[0] if row.limits else None
        limit = (f"{nearest.scope} {nearest.text}", f"{nearest.share:.4f}") if nearest else ("", "")
        amounts = (row.amounts[unit] for unit in UNITS)
        writer.writerow([row.owner.number, *names, *amounts, f"{row.share:.4f}", *limit])
    return response


# One user or token


@page()
@require_safe
def show_user(request: HttpRequest, number: int) -> HttpResponse:
    """Show the usage of a user."""
    return _render_owner(request, "users", _find_visible(user_of(request), "users", number))


@page()
@require_safe
def show_token(request: HttpRequest, number: int) -> HttpResponse:
    """Show the usage of a token."""
    return _render_owner(request, "tokens", _find_visible(user_of(request), "tokens", number))


def _find_visible(user: User, by: By, number: int) -> Owner:
    """Return a user or token whose usage the user may see. Raises NotFound for any other."""
    owner = _find_owner(by, number)
    if owner.user != user.pk and not user.has_perm(VIEW):
        raise NotFound(f"{by.capitalize()[:-1]} not found")
    return owner


def _find_owner(by: By, number: int) -> Owner:
    # A larger number does not fit into the column.
    owner = load_owners(by, [number])[number] if number < 2**63 else Owner(number, "")
    if not owner.user:
        raise NotFound(f"{by.capitalize()[:-1]} not found")
    return owner


def _render_owner(
    request: HttpRequest,
    by: By,
    owner: Owner,
    problem: str = "",
    status: HTTPStatus = HTTPStatus.OK,
) -> HttpResponse:
    name = request.GET.get("period", DEFAULT_PERIOD)
    period = parse_period(name, utc_today())
    owned = Token.objects.filter(user=owner.user).values_list("pk", flat=True)
    uses = load_limit_uses(by, [owner])
    tokens = Selection("tokens", period, users=[owner.user])
    context = {
        "by": by,
        "owner": owner,
        "is_own": owner.user == user_of(request).pk,
        "uses": None if uses is None else uses[owner.number],
        "tokens": load_rows(tokens, "requests", PAGE_ROWS)[0] if by == "users" else (),
        "stored": _stored(owner) if by == "users" else None,
        **_period_context({}, ""),
        "period_name": name,
        "periods": [(f"{days} days", f"?period={days}", str(days) == name) for days in PERIODS],
        **_days_context(load_days(period, owned if by == "users" else [owner.number])),
        **_exception_context(request, by, owner.number),
        "problem": problem,
        "sent": request.POST if problem else QueryDict(),
        "titles": TITLES.items(),
        "amounts": AMOUNTS,
        "windows": WINDOWS,
    }
    return render(request, "usage/owner.html", context, status=status)


def _stored(owner: Owner) -> object:
    """Return the number and bytes of files that a user stored in the last 30 days."""
    files = SymbolFile.objects.filter(upload__user=owner.user)
    return recent_amounts(files, str(owner.user))["last_30_days"]


# Exceptions


def _exception_context(request: HttpRequest, by: By | None = None, number: int = 0) -> dict[str, object]:
    """Return the exceptions, of one user or token or of all, for a user who may see them."""
    user = user_of(request)
    if not user.has_perm(VIEW):
        return {"exceptions": ()}
    try:
        found = load_exceptions()
    except BadOption as error:
        return {"exceptions": (), "exceptions_problem": str(error)}
    shown = [one for one in found if by is None or (one.by, one.owner.number) == (by, number)]
    return {
        "exceptions": shown,
        "may_change": user.has_perm(CHANGE),
        "sees_history": user.has_perm(CHANGE) or user.has_perm(VIEW_OPTIONS),
    }


@page(CHANGE)
@require_POST
def change_exceptions(request: HttpRequest) -> HttpResponse:
    """Add or remove the exception in the form."""
    need(user_of(request), VIEW)
    form = {name: str(text).strip() for name, text in request.POST.items()}
    user = user_of(request)
    author: service.Author = {
        "by": user.email or user.get_username(),
        "user": user,
        "why": form.get("why", ""),
        "source": "page",
    }
    if form.get("do") == "remove":
        text = form.get("exception", "")
        author["why"] = author["why"] or f"{text} removed"
        outcome = remove_exception(text, author)
        return _redirect(request, outcome, reverse("usage") + "#exceptions")
    return _add(request, form, author)


def _add(request: HttpRequest, form: Mapping[str, str], author: service.Author) -> HttpResponse:
    by: By = "tokens" if form.get("by") == "tokens" else "users"
    digits = form.get("number", "")
    owner = _find_owner(by, int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 19 else 0)
    words = [form.get(name, "") for name in ("scope", "quantity", "unit", "window", "until")]
    scope, quantity, unit, window, until = words
    text = f"{scope} {quantity} {unit}/{window} per {by[:-1]} {owner.number}"
    try:
        outcome = add_exception(f"{text} until {until}" if until else text, author)
    except InvalidInput as error:
        return _render_owner(request, by, owner, str(error), HTTPStatus.BAD_REQUEST)
    return _redirect(request, outcome, reverse(f"usage-{by[:-1]}", args=[owner.number]) + "#exceptions")


def _redirect(request: HttpRequest, outcome: service.Outcome, address: str) -> HttpResponse:
    if outcome.distributed:
        text = f"Saved as version {outcome.version}: every process applies it within a second."
        messages.success(request, text)
    else:
        messages.warning(request, "Recorded, but Redis does not answer: the processes get it when it does.")
    return redirect(address)


PAGE = SitePage(
    title="Usage",
    about="See who uses how much, and what is left of each limit.",
    group=Group.BUILDS,
    urls=[
        path("usage/", show_usage, name="usage"),
        path("usage/users/<int:number>/", show_user, name="usage-user"),
        path("usage/tokens/<int:number>/", show_token, name="usage-token"),
        path("usage/exceptions/", change_exceptions, name="usage-exceptions"),
    ],
    needs_login=True,
)
