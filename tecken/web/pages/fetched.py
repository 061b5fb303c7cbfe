"""Page of modules whose symbols came from upstreams, with totals and a form to remove some of them."""

from __future__ import annotations

import logging
from http import HTTPStatus

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.views.decorators.http import require_http_methods

from tecken.runtimeconfig.current import options
from tecken.storage.models import FetchedModule
from tecken.symbolication.fetched import remove, totals_of_upstreams
from tecken.web.api.fetched import CHANGE, FILTERS, SORTS, VIEW, FetchedFilters
from tecken.web.auth import Group, SitePage, need, page
from tecken.web.lists import NUMBER, PAGE_ROWS, combine_filters, load_list
from tecken.web.pages.config import user_of

logger = logging.getLogger(__name__)


@page(*VIEW)
@require_http_methods(["GET", "HEAD", "POST"])
def show_fetched(request: HttpRequest) -> HttpResponse:
    """Show the list, or remove the modules that were chosen."""
    if request.method == "POST":
        need(user_of(request), CHANGE)
        return _remove_chosen(request)
    rows = FetchedModule.objects.all()
    fetched = load_list(request, rows, FetchedFilters, FILTERS, SORTS)
    totals = (
        [] if fetched.problem else totals_of_upstreams(rows.filter(combine_filters(FILTERS, fetched.query)))
    )
    context = {
        "list": fetched,
        "totals": totals,
        "days": options().keep_fetched_days,
        "may_remove": user_of(request).has_perm(CHANGE),
    }
    status = HTTPStatus.BAD_REQUEST if fetched.problem else HTTPStatus.OK
    return render(request, "fetched/list.html", context, status=status)


def _remove_chosen(request: HttpRequest) -> HttpResponse:
    """Remove each `module`, or with `every` all that the page has `shown`. Raises Unavailable."""
    chosen = request.POST.getlist("shown" if "every" in request.POST else "module")[:PAGE_ROWS]
    rows = list(FetchedModule.objects.filter(pk__in=list(filter(NUMBER.fullmatch, chosen))))
    for row in rows:
        remove(row)
    logger.info(
        "%s has removed symbols of %d modules of upstreams", user_of(request).get_username(), len(rows)
    )
    if rows:
        messages.success(request, f"{len(rows):,} removed. They are fetched again when they are needed.")
    else:
        messages.info(request, "No module was chosen.")
    return redirect(request.get_full_path())


PAGE = SitePage(
    title="Fetched",
    about="See and remove symbols that came from upstreams.",
    group=Group.SYMBOLS,
    urls=[path("fetched/", show_fetched, name="fetched")],
    permissions=VIEW,
)
