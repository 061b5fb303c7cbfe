"""Tags and filters of all templates: the menu, formatted values, addresses of files and modules."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlencode

from django import template
from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from django.template.context import Context
from django.urls import reverse

from tecken.download.models import MissingSymbol
from tecken.storage.models import SymbolFile
from tecken.symbolication.symbolicated import explanation_address
from tecken.symbols.layouts import below_root
from tecken.web import formatting
from tecken.web.api.uploads import address_of
from tecken.web.auth import Group
from tecken.web.urls import PAGES

register = template.Library()
register.filter("ago", formatting.ago)
register.filter("count", formatting.count)
register.filter("foreign_name", formatting.foreign_name)
register.filter("moment", formatting.moment)
register.filter("percent", formatting.percent)
register.filter("quoted", formatting.quote_option)
register.filter("seconds", formatting.seconds)
register.filter("size", formatting.size)
register.filter("visible", formatting.escape_invisible)
register.filter("address", address_of)


ADMIN_ABOUT = "Manage users, their groups and permissions."


class MenuEntry(NamedTuple):
    """Entry of the menu. `is_current`: the page that is shown belongs to it."""

    title: str
    about: str
    path: str
    is_current: bool = False


class MenuGroup(NamedTuple):
    """Group of entries under a title. Without a title they are links beside the groups."""

    title: str
    entries: list[MenuEntry]

    @property
    def is_current(self) -> bool:
        """Return whether the page that is shown belongs to one of the entries."""
        return any(entry.is_current for entry in self.entries)


@register.simple_tag(takes_context=True)
def site_menu(context: Context) -> list[MenuGroup]:
    """Return the menu of the user who reads the page, in the order of PAGES.

    A group that has a single page for this user is that page: a list of one only hides it.
    """
    request = context.get("request")
    user: User | AnonymousUser = getattr(request, "user", None) or AnonymousUser()
    match = getattr(request, "resolver_match", None)
    # Other applications have names of their own, such as `index` of the admin site.
    name = match.url_name if match and not match.namespaces else None
    shown = next((page for page in PAGES if page.has_url(name)), None)
    current = shown and (shown.part_of or shown)
    groups: dict[Group, list[MenuEntry]] = {}
    for page in PAGES:
        if page.is_offered_to(user):
            entry = MenuEntry(page.title, page.about, page.path, page is current)
            groups.setdefault(page.group, []).append(entry)
    if getattr(user, "is_staff", False):
        groups.setdefault(Group.OPERATION, []).append(MenuEntry("Admin", ADMIN_ABOUT, reverse("admin:index")))
    return [MenuGroup(group if len(entries) > 1 else "", entries) for group, entries in groups.items()]


@register.simple_tag(takes_context=True)
def login_url(context: Context) -> str:
    """Return the address to log in, from which the browser returns to this page."""
    request = context.get("request")
    back = request.get_full_path() if request else "/"
    return f"{settings.LOGIN_URL}?{urlencode({'next': back})}"


@register.filter
def file_explanation(file: SymbolFile) -> str:
    """Return the address that explains a file's module, or "" if the module is not known."""
    return explanation_address(file.debug_file, file.debug_id) if file.debug_file and file.debug_id else ""


@register.filter
def missing_explanation(row: MissingSymbol) -> str:
    """Return the address that explains a missing module by its debug id or code id, or "" without either."""
    if row.debug_file and row.debug_id:
        return explanation_address(row.debug_file, row.debug_id)
    if row.code_file and row.code_id:
        return f"/explain/?{urlencode({'code_file': row.code_file, 'code_id': row.code_id})}"
    if row.code_id:
        return f"/explain/?{urlencode({'id': row.code_id})}"
    return ""


@register.filter
def short_key(key: str) -> str:
    """Return the part of a storage key below the prefix: `<debug file>/<DEBUG ID>/<file name>`."""
    return below_root(key)


@register.filter
def file_name(key: str) -> str:
    """Return the file name at the end of a storage key."""
    return key.rpartition("/")[2]


@register.filter
def module_name(key: str) -> str:
    """Return the first part of a storage key below the prefix, the name of the module: xul.pdb."""
    return short_key(key).partition("/")[0]


@register.filter
def module_id(key: str) -> str:
    """Return the part of a storage key between the name of the module and that of the file: 44E4...."""
    return short_key(key).partition("/")[2].rpartition("/")[0]
