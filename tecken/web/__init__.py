"""Web interface: pages for people, the JSON API, and the middleware of all requests.

* `pages/` has the pages. Each declares its addresses and menu entry as a `SitePage` (`auth.py`). `urls.py`
  collects them; the menu and the maintenance middleware read that collection.
* `api/` has the operations below `/api/`, and their OpenAPI document.
* `charts.py` computes the SVG charts of the pages, which need no script.
* `auth.py` guards views: log-in, permissions, form tokens, errors as pages.
* `middleware.py` runs before all views: path spelling, security headers, maintenance, runtime options.
* `error_pages.py` turns the JSON errors of other packages into pages for browsers.
* `lists.py` filters, sorts and pages through the lists that pages and API share.

What must never happen:

* Text from a client reaches a page unescaped, or with invisible characters (`formatting.escape_invisible`).
* An inline script or style: the Content-Security-Policy forbids them, and nothing may relax it.
* The maintenance check reads the database, a session or Redis: they may be down while the site is closed.
* A page shows an address of a storage or a server to users without a permission that entitles them to it.
"""
