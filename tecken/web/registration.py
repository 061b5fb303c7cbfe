"""Registration of pages: addresses, menu entry, permissions and state under maintenance.

Each module below `tecken.web.pages` declares its page once, as a `SitePage`, below its views. All pages are
collected in `tecken.web.urls`. The URL table, the menu, the cards of the home page, the addresses that stay
open under maintenance and the tests of every page are derived from that collection.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.contrib.auth.models import AnonymousUser, User
from django.urls import URLPattern

VIEW_UPLOADS = ("upload.upload_symbols", "upload.upload_try_symbols", "upload.view_all_uploads")
OPERATE = ("runtimeconfig.view_option", "runtimeconfig.change_option")


@dataclass(frozen=True)
class SitePage:
    """Page of the site.

    The first of `urls` is the address in the menu. `about` is the text of the page's card on the home page.
    A page that is `part_of` another has no entry in the menu; the other's entry stands for it.
    `permissions` and `needs_login` decide who finds the page in the menu: any one of the permissions is
    enough. They protect nothing; the guards of the views do (`tecken.web.auth`). A page that
    `is_open_under_maintenance` stays open with everything below its address.
    """

    title: str
    urls: Sequence[URLPattern]
    about: str = ""
    part_of: SitePage | None = None
    permissions: tuple[str, ...] = ()
    needs_login: bool = False
    is_in_menu: bool = True
    is_open_under_maintenance: bool = False

    @property
    def path(self) -> str:
        """Path of the page, with slashes at both ends where the address has them."""
        return f"/{self.urls[0].pattern}"

    def has_url(self, name: str | None) -> bool:
        """Return whether one of the page's addresses has this name."""
        return name is not None and any(url.name == name for url in self.urls)

    def is_offered_to(self, user: User | AnonymousUser) -> bool:
        """Return whether the menu of this user has the page."""
        if self.part_of or not self.is_in_menu or (self.needs_login and not user.is_authenticated):
            return False
        return not self.permissions or any(map(user.has_perm, self.permissions))
