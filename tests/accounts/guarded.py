"""One guarded view for a real web server: `python -m tecken.front tests.accounts.guarded:front`."""

from __future__ import annotations

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

settings.ROOT_URLCONF = __name__
application = get_wsgi_application()

from tecken.front.application import Front  # noqa: E402 - models exist only now
from tecken.http.decorators import require_permission  # noqa: E402 - as above

front = Front(application, threads=2)


@csrf_exempt
@require_permission("tokens.manage_tokens")
def view(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(len(request.read())))


urlpatterns = [path("", view)]
