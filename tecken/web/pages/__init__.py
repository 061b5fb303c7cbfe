"""Pages of the site: one module for each page, or for a few related ones, with views and registrations.

A module has one or more views, which check the request, call another package and render a template. Below
them a `SitePage` (`tecken.web.auth`) names the page's addresses, its place in the menu and the users
who find it there. `tecken.web.urls` collects these pages.

Views are guarded by `page(...)`, or by `open_page` where no log-in is needed (`tecken.web.auth`). The guards
turn each error into a page, with the same status as in the API.

What must never happen:

* A view without a guard, or a form that changes anything without a form token.
* A page that shows another user's uploads or tokens. `tests/web/test_permissions.py` opens every page as each
  kind of user, and fails for a page that is missing in its table.
* A page that fails because a Redis server or the database does not respond, if it can show the rest.
"""
