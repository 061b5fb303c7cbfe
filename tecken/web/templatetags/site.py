"""What every page has at its top, and numbers as people read them."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import urlencode

from django import template
from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from django.template.context import Context
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from tecken.web.menu import Entry, menu

register = template.Library()
UNITS = ("B", "KB", "MB", "GB", "TB")


@register.simple_tag(takes_context=True)
def entries(context: Context) -> list[Entry]:
    """The menu of whoever reads the page."""
    user: User | AnonymousUser = getattr(context.get("request"), "user", None) or AnonymousUser()
    return menu(user)


@register.simple_tag(takes_context=True)
def login_url(context: Context) -> str:
    """And back to the page."""
    request = context.get("request")
    back = request.get_full_path() if request else "/"
    return f"{settings.LOGIN_URL}?{urlencode({'next': back})}"


@register.filter
def size(number: float | None) -> str:
    """Bytes: 950 B, 1.2 KB, 34 MB; powers of a thousand."""
    if number is None:
        return ""
    value = float(number)
    for unit in UNITS:
        if abs(value) < 999.5 or unit == UNITS[-1]:
            break
        value /= 1000
    return f"{value:.0f} {unit}" if value >= 10 or unit == "B" else f"{value:.1f} {unit}"


@register.filter
def count(number: int | None) -> str:
    """1,234,567."""
    return "" if number is None else f"{number:,}"


@register.filter
def percent(share: float | None) -> str:
    """0.9951 is 99.5 %."""
    return "" if share is None else f"{share * 100:.1f} %"


@register.filter
def seconds(number: float | None) -> str:
    """0.0123 is 12 ms, 75 is 1 min 15 s."""
    if number is None:
        return ""
    if number < 1:
        return f"{number * 1000:.0f} ms"
    if number < 60:
        return f"{number:.1f} s" if number < 10 else f"{number:.0f} s"
    minutes, rest = divmod(round(number), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} days"


@register.filter
def ago(at: datetime | None) -> SafeString:
    """How long since, with the time itself at hand."""
    if at is None:
        return mark_safe("")
    since = seconds(max(0.0, (timezone.now() - at).total_seconds()))
    return format_html(
        '<time datetime="{}" title="{}">{} ago</time>', at.isoformat(), f"{at:%Y-%m-%d %H:%M:%S} UTC", since
    )
